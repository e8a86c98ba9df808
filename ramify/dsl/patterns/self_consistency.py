"""Self-consistency (Wang et al., ICLR 2023, arXiv 2203.11171): sample, then take the majority.

The paths are branches, and they end as soon as the vote is decided: when the ways that are still
being written cannot change it any more, they are cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ramify.dsl.branches import first
from ramify.dsl.functions import call
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State

REQUEST = "Think step by step. Write the final answer alone on the last line."


def final(answer: str) -> str:
    """The last line of an answer."""
    return (answer.strip().splitlines() or [""])[-1].strip()


def majority(answers: Sequence[str]) -> str:
    """The most frequent last line; of equals, the first in the order of the alphabet, so that it
    does not matter who was done first."""
    counts = Counter(map(final, answers))
    return min(counts, key=lambda text: (-counts[text], text))


def decided(answers: Sequence[str], missing: int) -> bool:
    """Whether `missing` more answers cannot change the majority, however they come out."""
    counts = [count for _, count in Counter(map(final, answers)).most_common(2)]
    return bool(counts) and counts[0] > (counts[1] if len(counts) > 1 else 0) + missing


@program
def self_consistency(
    s: State,
    question: str,
    paths: int = 5,
    temperature: float = 0.7,
    max_tokens: int = 256,
    seed: int | None = None,
    early: bool = True,
) -> Value:
    """Sample `paths` ways of thinking and return the answer that most of them end with.

    Way i is sampled under seed + i. With `early`, ways that cannot change the vote are cancelled;
    the answer is the same, the work is less.
    """
    need_question(question, "self_consistency")
    s += user(f"{question}\n\n{REQUEST}")
    branches = s.fork(paths)
    for number, branch in enumerate(branches):
        own = None if seed is None else seed + number
        branch += assistant(gen("path", temperature=temperature, max_tokens=max_tokens, seed=own))

    def until(done: list[dict[str, Any]]) -> bool:
        return early and decided([one["path"] for one in done], paths - len(done))

    found = first(paths, branches, until=until)
    s["paths"] = found["path"]
    s["answer"] = call(majority, s["paths"], pure=True)
    s["answer"]._annotation = str
    return s["answer"]
