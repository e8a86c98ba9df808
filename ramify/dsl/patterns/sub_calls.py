"""Sub-calls with a context of their own (APR; Pan et al., arXiv 2504.15466), without training.

The model hands out tasks; each is done by a call that sees its task and nothing else, and gives a
short result back. The main prompt goes on with the results, not with how they were found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.functions import lines, resolve
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.patterns.lists import planned_list
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State

HAND_OUT = (
    "Name the tasks that would help to answer this and can be done alone, each with all that it "
    "needs to know, as a JSON list of texts. An empty list if nothing is missing."
)


@program
def sub_call(s: State, task: str, max_tokens: int = 48) -> Value:
    """One task, done by a call that sees nothing else."""
    s += user(f"{task}\n\nGive the result only, in few words.")
    s += assistant(gen("result", max_tokens=max_tokens))
    return s["result"]


@program
def sub_calls(
    s: State,
    question: str,
    rounds: int = 2,
    limit: int = 4,
    plan_tokens: int = 256,
    result_tokens: int = 48,
    answer_tokens: int = 128,
) -> Value:
    """Answer `question` with up to `rounds` rounds of at most `limit` sub-calls, side by side.

    Rounds end when the model hands out nothing more.
    """
    need_question(question, "sub_calls")
    s += user(question)
    for turn in range(rounds):
        s += user(HAND_OUT)
        s += assistant(planned_list(f"tasks{turn}", limit, plan_tokens))
        (tasks,) = resolve(s[f"tasks{turn}"])
        if not tasks:
            break
        results = [sub_call(task, max_tokens=result_tokens) for task in tasks[:limit]]
        said = [f"{task}: {result}" for task, result in zip(tasks, results, strict=False)]
        s += user("Results:\n", lines(*said))
    s += user("Now answer the question.")
    s += assistant(gen("answer", max_tokens=answer_tokens))
    return s["answer"]
