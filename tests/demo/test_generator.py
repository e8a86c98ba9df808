"""The generator of the demo world: seeded, with splits that share no town."""

from __future__ import annotations

import random

import pytest

from examples.demo_world.cases import TASKS, make_cases
from examples.demo_world.passages import Mix, make_passages
from examples.demo_world.phrasing import (
    FUNCTION_WORDS,
    LEANING,
    NAMED,
    SUBJECT,
    drop_words,
    sentences,
)
from examples.demo_world.questions import OTHERS
from examples.demo_world.shipped import question_rows, shipped_towns, town_rows
from examples.demo_world.stages import STAGES, Kind
from examples.demo_world.tasks import MAKERS
from examples.demo_world.town import KEYS, make_town, split_of, town_names
from ramify.demo.world import facts_right, load_questions, load_towns


def test_splits_are_disjoint_and_their_neighbours_stay_inside() -> None:
    splits = {split: set(town_names(split)) for split in ("train", "dev", "test", "shipped")}
    assert sum(map(len, splits.values())) == len(set.union(*splits.values()))
    rng = random.Random(5)
    for name in sorted(splits["test"])[:50]:
        assert split_of(make_town(rng, name, KEYS).values["neighbour"]) == "test"
    assert {town.title for town in load_towns()} <= splits["shipped"]


def test_the_shipped_files_come_from_seed_1() -> None:
    towns = shipped_towns(1)
    rows = town_rows(1, towns)
    assert [row["text"] for row in rows] == [town.text for town in load_towns()]
    asked = [row["question"] for row in question_rows(1, towns)]
    assert asked == [question.question for question in load_questions()]


@pytest.mark.parametrize("kind", STAGES[-1].kinds, ids=lambda kind: kind.name)
def test_same_seed_same_scene(kind: Kind) -> None:
    make = MAKERS[kind.maker]
    once = make(random.Random(3), "train", kind.mix)
    assert once == make(random.Random(3), "train", kind.mix)
    assert once != make(random.Random(4), "train", kind.mix)
    assert once.branches and all(branch[-1].role == "assistant" for branch in once.branches)


def test_every_wording_says_the_value_in_one_piece() -> None:
    assert set(SUBJECT) == set(NAMED) == set(LEANING) == set(OTHERS) == set(KEYS)
    rng = random.Random(6)
    for name in town_names("dev")[:40]:
        town = make_town(rng, name)
        text = " ".join(sentences(rng, town))
        assert facts_right(text, town.values) == len(town.values)
        assert facts_right(drop_words(rng, text, 1.0), town.values) == len(town.values)


def test_dropping_words_drops_function_words_only() -> None:
    text = "The mayor of Aldmoor is Ilsa Venn."
    assert drop_words(random.Random(0), text, 1.0) == "mayor Aldmoor Ilsa Venn."
    assert drop_words(random.Random(0), text, 0.0) == text
    assert "mayor" not in FUNCTION_WORDS


def test_shortened_passages_show_what_they_claim() -> None:
    rng = random.Random(7)
    for _ in range(50):
        (passage,) = make_passages(rng, "train", Mix("short", facts=(6, 10), short=1.0))
        shown = {key: passage.town.values[key] for key in passage.shown}
        assert shown and facts_right(passage.text, shown) == len(shown)


def test_cases_are_seeded_and_their_answers_hold_the_facts() -> None:
    for task in TASKS:
        cases = make_cases(task, 7, 5)
        assert cases == make_cases(task, 7, 5)
        for case in cases:
            assert facts_right(case.answer, case.facts) == len(case.facts), task.name
