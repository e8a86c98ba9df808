"""Answers in parts with the demo model: facts right, side by side and one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")

import ramify as rf
from ramify.demo.organize import (
    answer_by_graph,
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


def test_the_models_own_skeleton_has_the_form_that_it_is_held_to(backend: Any) -> None:
    """Whether it names the right points is the model's matter; see benchmarks/organize_quality."""
    town = TOWNS[0]
    result = describe_by_skeleton.run(f"[1] {town.text}", town.title, backend=backend)
    calls = [account for account in result.accounts.values() if account.prompt_tokens]
    plain = any("plain answer" in note for note in result.notes)
    assert result.text and (len(calls) == 2 if plain else len(calls) > 2)


def test_forks_and_graphs_run_whatever_the_model_has_learned(backend: Any) -> None:
    town = TOWNS[0]
    forked = describe_by_forks.run(f"[1] {town.text}", town.title, backend=backend)
    assert forked.text
    index = rf.Index.of([(one.title, one.text) for one in TOWNS], dense=False)
    question = next(q.question for q in load_questions() if q.kind == "two_step")
    assert answer_by_graph.run(question, index, backend=backend).text
