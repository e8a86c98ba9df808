"""Plans of sub-questions and what they need: read, mended or refused, put in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ramify.ir import Constraint

BadPlan = Literal["repair", "refuse"]
QUESTION_CHARACTERS = 160
LEAST_TOKENS, MOST_TOKENS = 8, 512  # of a promise
HARDEST = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-question. `needs`: ids of those whose answers it reads; `tokens`: promised."""

    id: int
    question: str
    needs: tuple[int, ...] = ()
    difficulty: int = 3  # 1 to 5
    tokens: int = 64


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """Parts in an order in which every one comes after what it needs.

    `problem` says why there are none; `notes`, what was changed to make a graph of them.
    """

    parts: tuple[Part, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()

    def sinks(self) -> tuple[Part, ...]:
        """The parts that no other part needs."""
        needed = {need for part in self.parts for need in part.needs}
        return tuple(part for part in self.parts if part.id not in needed)

    def check(self) -> None:
        """Raise AssertionError where the order or a need is broken."""
        seen: set[int] = set()
        for part in self.parts:
            assert set(part.needs) <= seen, f"part {part.id} comes before what it needs"
            assert part.id not in seen, f"part {part.id} is there twice"
            seen.add(part.id)


def plan_constraint(limit: int) -> Constraint:
    """JSON with at most `limit` parts; field by field, in the order in which one thinks."""
    number = {"type": "integer", "minimum": 1, "maximum": 99}
    fields: dict[str, Any] = {
        "id": number,
        "question": {"type": "string", "minLength": 1, "maxLength": QUESTION_CHARACTERS},
        "needs": {"type": "array", "items": number, "maxItems": 4},
        "difficulty": {"type": "integer", "minimum": 1, "maximum": HARDEST},
        "tokens": {"type": "integer", "minimum": LEAST_TOKENS, "maximum": MOST_TOKENS},
    }
    part = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    parts = {"type": "array", "items": part, "minItems": 1, "maxItems": limit}
    schema = {
        "type": "object",
        "properties": {"parts": parts},
        "required": ["parts"],
        "additionalProperties": False,
    }
    return Constraint("schema", json.dumps(schema, separators=(",", ":")))


def read_plan(text: str) -> GraphPlan:
    """The plan in a text. What is no plan, or has fewer than two parts, is a problem.

    Repairs, each of them in the notes: a second part of the same id is left out; needs that are
    unknown or the part itself are left out; of a cycle, the need that points to the part listed
    last is left out.
    """
    try:
        found = json.loads(text)
    except ValueError:
        return GraphPlan(problem=f"no plan can be read in {text.strip()[:60]!r}")
    items = found.get("parts") if isinstance(found, dict) else found
    notes: list[str] = []
    listed: dict[int, Part] = {}
    for item in items if isinstance(items, list) else []:
        part = _part(item)
        if part is None:
            notes.append(f"{str(item)[:40]!r} is no part and is left out")
        elif part.id in listed:
            notes.append(f"a second part {part.id} is left out")
        else:
            listed[part.id] = part
    known = {number: _known_needs(part, listed, notes) for number, part in listed.items()}
    _break_cycles(known, notes)
    if len(known) < 2:
        return GraphPlan(problem=f"the plan has {len(known)} parts", notes=tuple(notes))
    return GraphPlan(_ordered(known), notes=tuple(notes))


def _part(item: Any) -> Part | None:
    if not isinstance(item, dict) or not isinstance(item.get("id"), int):
        return None
    question = item.get("question")
    if not isinstance(question, str) or not question.strip():
        return None
    needs = item.get("needs") or []
    numbers = tuple(dict.fromkeys(n for n in needs if isinstance(n, int)))
    return Part(
        item["id"],
        " ".join(question.split()),
        numbers,
        _bounded(item.get("difficulty"), 1, HARDEST, 3),
        _bounded(item.get("tokens"), LEAST_TOKENS, MOST_TOKENS, 64),
    )


def _bounded(value: Any, low: int, high: int, default: int) -> int:
    return min(max(value, low), high) if isinstance(value, int) else default


def _known_needs(part: Part, listed: Mapping[int, Part], notes: list[str]) -> Part:
    """The part without needs that cannot be."""
    if part.id in part.needs:
        notes.append(f"part {part.id} needs itself: left out")
    for need in part.needs:
        if need not in listed:
            notes.append(f"part {part.id} needs {need}, which is not there: left out")
    needs = tuple(need for need in part.needs if need in listed and need != part.id)
    return replace(part, needs=needs)


def _break_cycles(parts: dict[int, Part], notes: list[str]) -> None:
    """Leave out needs until no part waits for itself."""
    place = {number: at for at, number in enumerate(parts)}
    while cycle := _cycle(parts):
        pairs = list(zip(cycle, cycle[1:] + cycle[:1], strict=True))  # (part, what it needs)
        number, need = max(pairs, key=lambda pair: place[pair[1]])
        ring = " > ".join(str(one) for one in (*cycle, cycle[0]))
        notes.append(f"parts need each other ({ring}): {number} goes without {need}")
        needs = tuple(one for one in parts[number].needs if one != need)
        parts[number] = replace(parts[number], needs=needs)


def _cycle(parts: Mapping[int, Part]) -> list[int]:
    """A cycle of needs, or nothing."""
    clear: set[int] = set()
    for start in parts:
        path: list[int] = []
        stack = [(start, iter(parts[start].needs))]
        while stack:
            number, needs = stack[-1]
            if len(path) < len(stack):
                path.append(number)
            need = next((one for one in needs if one not in clear), None)
            if need is None:
                clear.add(number)
                stack.pop()
                path.pop()
            elif need in path:
                return path[path.index(need) :]
            else:
                stack.append((need, iter(parts[need].needs)))
    return []


def _ordered(parts: Mapping[int, Part]) -> tuple[Part, ...]:
    """Parts after what they need, otherwise as they were listed."""
    done: dict[int, Part] = {}
    while len(done) < len(parts):
        for number, part in parts.items():
            if number not in done and all(need in done for need in part.needs):
                done[number] = part
                break
    return tuple(done.values())
