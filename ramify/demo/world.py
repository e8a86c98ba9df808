"""The demo world as shipped: 300 invented towns, questions about them, the small model's folder.

Everything here reads package data and needs nothing but the standard library (no torch).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ramify.errors import RamifyError

__all__ = [
    "ABSENT",
    "ASPECTS",
    "Aspect",
    "DemoModelError",
    "Question",
    "Town",
    "facts_right",
    "load_questions",
    "load_towns",
    "model_path",
]

HERE = Path(__file__).parent
ABSENT = "The passages do not say."


class Aspect(NamedTuple):
    """One kind of fact. `title` names the point of an outline, `question` has a `{town}` slot."""

    key: str
    title: str
    question: str


ASPECTS: tuple[Aspect, ...] = (
    Aspect("founding", "Founding year", "What is the founding year of {town}?"),
    Aspect("river", "River", "What is the river of {town}?"),
    Aspect("mayor", "Mayor", "Who is the mayor of {town}?"),
    Aspect("export", "Main export", "What is the main export of {town}?"),
    Aspect("festival", "Festival", "What is the festival of {town}?"),
    Aspect("landmark", "Landmark", "What is the landmark of {town}?"),
    Aspect("population", "Population", "What is the population of {town}?"),
    Aspect("neighbour", "Nearest neighbour", "What is the nearest neighbour of {town}?"),
    Aspect("school", "School", "What is the school of {town}?"),
    Aspect("ferry", "Ferry", "What is the ferry of {town}?"),
)


class DemoModelError(RamifyError):
    """The folder of the demo model is not the one that was shipped (moved, truncated, edited)."""


@dataclass(frozen=True)
class Town:
    """A shipped town: `text` is its passage (no label), `facts` maps aspect key to value."""

    id: str
    title: str
    text: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """A question with its exact answer over the shipped towns.

    `kind` is one of single, absent, description, comparison, two_step. `answer` is the sentence
    expected without its citation ("" where `facts` alone decides), `facts` the values that a
    right answer names, `towns` the ids of the towns it is about.
    """

    kind: str
    question: str
    answer: str
    facts: Mapping[str, str]
    towns: tuple[str, ...] = field(default=())


def _rows(name: str) -> list[dict[str, Any]]:
    with (HERE / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


@lru_cache(maxsize=1)
def load_towns() -> tuple[Town, ...]:
    """The 300 shipped towns, in the order of their ids."""
    return tuple(Town(**row) for row in _rows("towns.jsonl"))


@lru_cache(maxsize=1)
def load_questions() -> tuple[Question, ...]:
    """The shipped questions of every kind, in a fixed order."""
    rows = _rows("questions.jsonl")
    return tuple(Question(**{**row, "towns": tuple(row["towns"])}) for row in rows)


def facts_right(text: str, facts: Mapping[str, str]) -> int:
    """How many values of `facts` stand in `text` as whole words, exact but for case.

    "1347" is not found in "13475", nor "Tarn" in "Tarnholm".
    """
    return sum(
        re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
        for value in facts.values()
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def model_path(folder: Path | str | None = None) -> Path:
    """The folder of the demo model, after every file named in its CHECKSUMS was checked.

    `folder` checks a copy elsewhere. Raises `DemoModelError` naming the broken file.
    """
    root = Path(folder) if folder is not None else HERE / "model"
    hint = "Reinstall ramify, or make the folder again: python -m examples.demo_world.train"
    sums = root / "CHECKSUMS"
    if not sums.is_file():
        raise DemoModelError(f"demo model: no file CHECKSUMS in {root}.", hint=hint)
    for line in sums.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        expected, _, name = line.partition("  ")
        path = root / name
        got = _sha256(path) if path.is_file() else "no such file"
        if got != expected:
            raise DemoModelError(
                f"demo model: {name} in {root} is not the shipped one: "
                f"expected sha256 {expected}, got {got}.",
                hint=hint,
            )
    return root
