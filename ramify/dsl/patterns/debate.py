"""Debate (Du et al., ICML 2024, arXiv 2305.14325): agents read each other and answer again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.functions import lines
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State


@program
def debate(
    s: State,
    question: str,
    agents: int = 3,
    rounds: int = 2,
    temperature: float = 0.7,
    max_tokens: int = 128,
    seed: int = 0,
) -> Value:
    """`agents` answer side by side; in each later round each reads what the others said last.

    A judge reads the last answers and gives the final one. An agent goes on with its own prompt,
    so a round computes only what the others said.
    """
    need_question(question, "debate")
    s += user(question)
    speakers = s.fork(agents)
    said: list[Value] = []
    for turn in range(rounds):
        heard, said = said, []
        for number, speaker in enumerate(speakers):
            if turn:
                others = [text for at, text in enumerate(heard) if at != number]
                speaker += user("Others say:\n", lines(*others), "\n\nWhat do you say now?")
            own = seed + turn * agents + number
            name = f"round{turn}"
            speaker += assistant(
                gen(name, temperature=temperature, max_tokens=max_tokens, seed=own)
            )
            said.append(speaker[name])
    s += user("These answers were given:\n", lines(*said), "\n\nGive the final answer.")
    s += assistant(gen("answer", max_tokens=max_tokens))
    return s["answer"]
