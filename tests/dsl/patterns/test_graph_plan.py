"""Plans: whatever a model writes becomes a graph without cycles, or a problem."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.dsl.patterns.graph_plan import read_plan


def plan(*parts: Any) -> str:
    """Parts as (id, needs)."""
    return json.dumps(
        {"parts": [{"id": i, "question": f"Q{i}?", "needs": needs} for i, needs in parts]}
    )


@pytest.mark.parametrize(
    ("text", "needs", "note"),
    [
        (plan((1, []), (2, [1])), {1: (), 2: (1,)}, ""),
        (plan((2, [1]), (1, [])), {1: (), 2: (1,)}, ""),
        (plan((1, [1]), (2, [])), {1: (), 2: ()}, "part 1 needs itself"),
        (plan((1, [7]), (2, [])), {1: (), 2: ()}, "part 1 needs 7, which is not there"),
        (plan((1, []), (1, []), (2, [])), {1: (), 2: ()}, "a second part 1"),
        (plan((1, [2]), (2, [1])), {1: (), 2: (1,)}, "parts need each other (1 > 2 > 1): 1 goes"),
        (plan((1, [3]), (2, [1]), (3, [2])), {1: (), 2: (1,), 3: (2,)}, "1 goes without 3"),
    ],
)
def test_plans_are_mended(text: str, needs: dict[int, Any], note: str) -> None:
    found = read_plan(text)
    found.check()
    assert {part.id: part.needs for part in found.parts} == needs
    assert note in "; ".join(found.notes) and bool(note) == bool(found.notes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I would first ...", "no plan can be read in 'I would"),
        ("[]", "the plan has 0 parts"),
        ("3", "the plan has 0 parts"),
        (plan((1, [])), "the plan has 1 parts"),
    ],
)
def test_what_is_no_plan_is_a_problem(text: str, problem: str) -> None:
    found = read_plan(text)
    assert not found.parts and problem in found.problem


_parts = st.lists(st.tuples(st.integers(0, 7), st.lists(st.integers(0, 9), max_size=4)), max_size=8)


@given(_parts)
def test_every_plan_becomes_a_graph_or_a_problem(parts: list[tuple[int, list[int]]]) -> None:
    found = read_plan(plan(*parts))
    found.check()
    assert bool(found.parts) != bool(found.problem)
    if found.parts:
        assert {part.id for part in found.parts} == {number for number, _ in parts}
    clean = {n for n, _ in parts}
    acyclic = all(need < n and need in clean for n, needs in parts for need in needs)
    if acyclic and len(clean) == len(parts) > 1:  # nothing to mend: nothing was changed
        assert not found.notes
        assert {p.id: set(p.needs) for p in found.parts} == {n: set(needs) for n, needs in parts}
