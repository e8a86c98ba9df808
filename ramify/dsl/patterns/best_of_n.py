"""Best of n: sample answers side by side, judge each, keep the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ramify.dsl.functions import call
from ramify.dsl.operations import assistant, gen, score, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State

JUDGE = "Is this a good answer to the question? Answer yes or no."


def _margin(odds: Sequence[float]) -> float:
    yes, no = odds
    return yes - no


def _best(answers: Sequence[str], grades: Sequence[float]) -> str:
    """The answer of the highest grade; the first of equals."""
    return answers[max(range(len(answers)), key=lambda i: (grades[i], -i))]


@program
def best_of_n(
    s: State,
    question: str,
    n: int = 4,
    temperature: float = 0.7,
    max_tokens: int = 128,
    judge: Callable[[str], float] | None = None,
    seed: int = 0,
) -> Value:
    """Sample `n` answers and return the best one.

    `judge` grades a text, larger is better. Without it the model judges: the log-probability of
    "yes" against "no" after asking it, on the branch of the answer, so that only the request is
    computed. An answer is judged as soon as it is written.
    """
    need_question(question, "best_of_n")
    s += user(question)
    answers, grades = [], []
    for number, branch in enumerate(s.fork(n)):
        branch += assistant(
            gen("answer", temperature=temperature, max_tokens=max_tokens, seed=seed + number)
        )
        answers.append(branch["answer"])
        if judge is not None:
            grades.append(call(judge, branch["answer"]))
            continue
        branch += user(JUDGE)
        branch += assistant(score("odds", ["yes", "no"]))
        grades.append(call(_margin, branch["odds"], pure=True))
    s["answer"] = call(_best, answers, grades, pure=True)
    s["answer"]._annotation = str
    return s["answer"]
