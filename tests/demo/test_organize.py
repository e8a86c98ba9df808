"""Answers in parts with the demo model: facts right, side by side and one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")

import ramify as rf
from ramify.demo.organize import (
    answer_at_once,
    answer_by_graph,
    describe_at_once,
    describe_by_forks,
    describe_by_skeleton,
    describe_in_turns,
    skeleton_options,
)
from ramify.demo.program import outline
from ramify.demo.world import facts_right, load_questions, load_towns
from ramify.dsl.patterns.skeleton import Point, Skeleton
from ramify.retrieval import Passages
from ramify.runtime.loop import run_sync

TOWNS = load_towns()[:4]


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    found = rf.open_backend("demo")
    yield found
    run_sync(found.close())


def given(points: list[str]) -> Any:
    """A skeleton of these points, whatever the model writes."""
    skeleton = Skeleton(tuple(Point(i, title) for i, title in enumerate(points, 1)))
    return skeleton_options(read=lambda text: skeleton, skeleton_tokens=1, constrained=False)


def test_points_side_by_side_keep_the_facts_of_points_in_turn(backend: Any) -> None:
    right = {"turns": 0, "skeleton": 0}
    total = 0
    for town in TOWNS:
        points = outline(Passages.of([town.text]))
        total += len(town.facts)
        turns = describe_in_turns.run(f"[1] {town.text}", points, backend=backend)
        parts = describe_by_skeleton.run(
            f"[1] {town.text}", town.title, given(points), backend=backend
        )
        right["turns"] += facts_right(turns.text, town.facts)
        right["skeleton"] += facts_right(parts.text, town.facts)
        assert len(parts.text.splitlines()) == len(points)
    assert right["turns"] >= 0.9 * total
    assert right["skeleton"] >= 0.95 * right["turns"]


def test_own_skeletons_and_forks_keep_the_facts_of_one_answer(backend: Any) -> None:
    """On 12 towns; counted over 200 by `python -m benchmarks organize_quality`."""
    towns = load_towns()[:12]
    rows = [{"passage": f"[1] {town.text}", "town": town.title} for town in towns]
    right = {}
    for program in (describe_at_once, describe_by_skeleton, describe_by_forks):
        results = program.run_batch(rows, backend=backend)
        found = [results.by_row[at] for at in range(len(rows))]
        assert all(result.failure is None for result in found)
        if program is describe_by_skeleton:
            assert not any("plain answer" in note for result in found for note in result.notes)
        right[program] = sum(
            facts_right(result.text, town.facts) for result, town in zip(found, towns, strict=True)
        )
    assert right[describe_at_once] >= 0.9 * sum(len(town.facts) for town in towns)
    assert right[describe_by_skeleton] >= 0.95 * right[describe_at_once]
    assert right[describe_by_forks] >= 0.95 * right[describe_at_once]


def test_two_step_questions_are_answered_by_graph_and_hardly_at_once(backend: Any) -> None:
    """On 10 questions; counted over 200 by `python -m benchmarks organize_quality`."""
    index = rf.Index.of([(one.title, one.text) for one in load_towns()], dense=False)
    asked = [question for question in load_questions() if question.kind == "two_step"][:10]
    rows = [{"question": question.question, "towns": index} for question in asked]
    right = {}
    for program in (answer_at_once, answer_by_graph):
        results = program.run_batch(rows, backend=backend)
        right[program] = sum(
            facts_right(results.by_row[at].text, question.facts) == len(question.facts)
            for at, question in enumerate(asked)
        )
    assert right[answer_by_graph] >= 7 and right[answer_by_graph] > right[answer_at_once]
