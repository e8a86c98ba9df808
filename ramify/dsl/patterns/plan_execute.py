"""Rounds of planning and executing (SPRINT; Biju et al., arXiv 2506.05745), without training.

A planner names steps that do not depend on each other, executors carry them out side by side with
the whole prompt in sight, and the planner goes on from what they wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.functions import resolve
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.patterns.lists import planned_list
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value
from ramify.ir import JoinMode

if TYPE_CHECKING:
    from ramify.dsl.state import State

PLAN = (
    "Name the next steps that can be carried out now without waiting for each other, as a JSON "
    "list of texts. An empty list if everything is known."
)


@program
def plan_execute(
    s: State,
    question: str,
    rounds: int = 3,
    limit: int = 4,
    plan_tokens: int = 192,
    step_tokens: int = 96,
    answer_tokens: int = 128,
    join: JoinMode = "text",
) -> Value:
    """Answer `question` in up to `rounds` rounds of at most `limit` steps side by side.

    The steps' texts are joined into the planner's prompt as `join` says (see State.join); with
    "kv" a backend with parallel blocks does not compute them again.
    """
    need_question(question, "plan_execute")
    s += user(question)
    for turn in range(rounds):
        s += user(PLAN)
        s += assistant(planned_list(f"steps{turn}", limit, plan_tokens))
        (steps,) = resolve(s[f"steps{turn}"])
        if not steps:
            break

        def execute(branch: State, step: str) -> None:
            branch += user(f"Carry out only this step: {step}")
            branch += assistant(gen("done", max_tokens=step_tokens))

        s.join(s.each(steps[:limit], execute), mode=join)
    s += user("Now answer the question.")
    s += assistant(gen("answer", max_tokens=answer_tokens))
    return s["answer"]
