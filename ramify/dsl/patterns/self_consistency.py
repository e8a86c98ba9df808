"""Self-consistency (Wang et al., ICLR 2023, arXiv 2203.11171): sample, then take the majority."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ramify.dsl.functions import call
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State


def majority(answers: list[str]) -> str:
    """The most frequent answer, by its last line; the first of equals."""
    finals = [(answer.strip().splitlines() or [""])[-1].strip() for answer in answers]
    return Counter(finals).most_common(1)[0][0]


@program
def self_consistency(
    s: State,
    question: str,
    paths: int = 5,
    temperature: float = 0.7,
    max_tokens: int = 256,
    seed: int | None = None,
) -> Value:
    """Sample `paths` ways of thinking and return the answer that most of them end with."""
    s += user(f"{question}\n\nThink step by step. Write the final answer alone on the last line.")
    s += assistant(gen("paths", n=paths, temperature=temperature, max_tokens=max_tokens, seed=seed))
    s["answer"] = call(majority, s["paths"], pure=True)
    return s["answer"]
