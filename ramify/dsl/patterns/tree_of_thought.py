"""Tree of thought (Yao et al., NeurIPS 2023, arXiv 2305.10601), breadth first with a beam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.functions import resolve
from ramify.dsl.operations import assistant, gen, score, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State


@program
def tree_of_thought(
    s: State,
    question: str,
    depth: int = 2,
    fan_out: int = 3,
    beam: int = 2,
    max_tokens: int = 96,
    temperature: float = 0.7,
    seed: int = 0,
) -> Value:
    """Grow thoughts `depth` levels deep, `fan_out` per kept thought, keeping the `beam` best.

    A thought is judged by the log-probability of " yes" against " no" after asking whether it is
    on the right way. All thoughts of a level, and then all judgements, run side by side.
    """
    need_question(question, "tree_of_thought")
    s += user(f"{question}\n\nThink in steps. Write only the next step.")
    kept = [s]
    for level in range(depth):
        grown: list[tuple[State, Value]] = []
        for parent, state in enumerate(kept):
            for i, branch in enumerate(state.fork(fan_out)):
                own = seed + (level * beam + parent) * fan_out + i
                branch += assistant(
                    gen("step", max_tokens=max_tokens, temperature=temperature, seed=own)
                )
                with branch.fork() as judge:
                    judge += user("Is this on the right way? Answer yes or no.")
                    judge += assistant(score("verdict", ["yes", "no"]))
                branch += user("Go on with the next step.")
                grown.append((branch, judge["verdict"]))
        # resolved together, so that all of them run side by side
        verdicts = resolve(*(verdict for _, verdict in grown))
        ranked = sorted(range(len(grown)), key=lambda i: verdicts[i][1] - verdicts[i][0])
        kept = [grown[i][0] for i in ranked[:beam]]
    best = kept[0]
    best += assistant(gen("answer", max_tokens=max_tokens))
    return best["answer"]
