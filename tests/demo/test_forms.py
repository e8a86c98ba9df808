"""Outlines, plans and steps: what the model is taught is what the patterns read."""

from __future__ import annotations

import json
import random

import pytest

from examples.demo_world import forms
from examples.demo_world.cases import TASKS, Case, make_cases
from ramify.dsl.patterns.graph_plan import plan_constraint, read_plan
from ramify.dsl.patterns.skeleton import read_skeleton

KEYS = ("founding", "river", "ferry")
TITLES = ["Founding year", "River", "Ferry"]


def test_outlines_are_skeletons() -> None:
    for text in (forms.outline(KEYS), forms.outline_json(KEYS)):
        assert [point.title for point in read_skeleton(text).points] == TITLES


def test_plans_are_read_without_repairs_and_fit_the_schema() -> None:
    llguidance = pytest.importorskip("llguidance")
    schema = json.loads(plan_constraint(8).text)
    grammar = llguidance.LLMatcher.grammar_from_json_schema(
        {**schema, "x-guidance": {"whitespace_flexible": False}}
    )
    tokenizer = llguidance.LLTokenizer("byte")
    rng = random.Random(4)
    for _ in range(20):
        task = forms.some_task(rng, "train")
        plan = read_plan(task.plan())
        assert not plan.problem and not plan.notes
        assert plan.parts[-1].question == task.last_question and plan.parts[-1].needs
        matcher = llguidance.LLMatcher(tokenizer, grammar)
        assert matcher.consume_tokens(list(task.plan().encode())) and matcher.is_accepting()


def test_the_right_town_wins() -> None:
    rng = random.Random(9)
    for _ in range(40):
        task = forms.some_comparison(rng, "train")
        here, there = (int(town.values[task.key]) for town in (task.one, task.two))
        older = task.one if (here < there) == (task.key == "founding") else task.two
        assert task.answer.endswith(f", so {task.conclusion}")
        assert task.conclusion.startswith(f"{older.name} ")
        assert task.answer.startswith(f"{here} and {there}: ")


@pytest.mark.parametrize("draw", ["comparison", "two-step"])
def test_the_direct_way_and_the_graph_get_the_same_cases(draw: str) -> None:
    direct, graph = (task for task in TASKS if task.draw == draw)
    assert make_cases(direct, 7, 6) == make_cases(graph, 7, 6)
    for case in make_cases(graph, 7, 6):
        assert isinstance(case, Case) and len(case.passages) == 4
        assert all(passage in case.messages[-1]["content"] or passage in
                   case.messages[-2]["content"] for passage in case.passages)  # fmt: skip
