"""Skeletons: a list of points, read from whatever the model wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ramify.errors import ProgramError
from ramify.ir import Constraint

TITLE_CHARACTERS = 80
_NUMBERED = re.compile(r"(?:^|(?<=\s))(\d{1,3})[.)]\s+(.*?)(?=\s+\d{1,3}[.)]\s|\n|$)", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a skeleton, numbered from 1; one of `count` that will be written."""

    number: int
    title: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What a model planned; `problem`: why it cannot be used, `notes`: what was left out."""

    points: tuple[Point, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


def read_skeleton(text: str) -> Skeleton:
    """The skeleton in a text: JSON with "points", also one that was cut, or numbered lines.

    Points that repeat are left out and named in the notes. Fewer than two points, or none that can
    be read (a refusal, prose), are a problem: nothing could be written side by side.
    """
    titles, notes = _titles(text)
    known: dict[str, str] = {}
    for title in titles:
        known.setdefault(title.casefold(), title)
    if len(known) < len(titles):
        notes.append(f"{len(titles) - len(known)} repeated points left out")
    if not known:
        return Skeleton(problem=f"no points can be read in {text.strip()[:60]!r}")
    if len(known) == 1:
        return Skeleton(problem="the skeleton has one point")
    points = tuple(Point(i, title) for i, title in enumerate(known.values(), 1))
    return Skeleton(points, notes=tuple(notes))


def _titles(text: str) -> tuple[list[str], list[str]]:
    """The titles as they stand there, and what is to be said about them."""
    stripped = text.strip()
    notes: list[str] = []
    if stripped.startswith(("{", "[")):
        try:
            found = json.loads(stripped)
        except ValueError:
            quoted = [json.loads(part) for part in _QUOTED.findall(stripped) if _loads(part)]
            found = quoted[1:] if stripped.startswith("{") else quoted
            notes.append("the skeleton was cut: its last point is left out")
        if isinstance(found, dict):
            found = found.get("points", [])
        items = found if isinstance(found, list) else []
    else:
        items = [title for _, title in _NUMBERED.findall(stripped)]
    cleaned = (" ".join(item.split()).rstrip(".:;") for item in items if isinstance(item, str))
    return [title[:TITLE_CHARACTERS] for title in cleaned if title], notes


def _loads(part: str) -> bool:
    try:
        json.loads(part)
    except ValueError:
        return False
    return True


def skeleton_constraint(limit: int) -> Constraint:
    """JSON with one to `limit` short points: a model that follows it must come to an end."""
    title = {"type": "string", "minLength": 1, "maxLength": TITLE_CHARACTERS}
    points = {"type": "array", "items": title, "minItems": 1, "maxItems": limit}
    schema = {
        "type": "object",
        "properties": {"points": points},
        "required": ["points"],
        "additionalProperties": False,
    }
    return Constraint("schema", json.dumps(schema, separators=(",", ":")))


class Moves(list[Any]):
    """What to do next: points to write, or one `Plainly`. The note tells the run why."""

    def __init__(self, items: Sequence[Any], note: str = "") -> None:
        super().__init__(items)
        self.__ramify_note__ = note


@dataclass(frozen=True, slots=True)
class Plainly:
    """The move of writing the answer in one go."""

    reason: str


def moves(skeleton: Skeleton, limit: int) -> Moves:
    """The points to write, at most `limit`; or the plain answer, with the reason."""
    if skeleton.problem:
        return Moves([Plainly(skeleton.problem)], f"plain answer: {skeleton.problem}")
    notes = list(skeleton.notes)
    if len(skeleton.points) > limit:
        notes.append(f"{len(skeleton.points)} points, the first {limit} are written")
    kept = skeleton.points[:limit]
    return Moves([replace(point, count=len(kept)) for point in kept], "; ".join(notes))


def need_question(question: object, pattern: str) -> None:
    """Raise ProgramError for a question that is known to be empty."""
    if isinstance(question, str) and not question.strip():
        raise ProgramError(f"{pattern} was given an empty question.", hint="Ask something.")
