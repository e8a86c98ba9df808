"""The shipped world: towns, questions, and the check of the model's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ramify.demo import world
from ramify.demo.world import ABSENT, ASPECTS, DemoModelError, facts_right, model_path


def test_every_shipped_passage_says_every_fact_of_its_town() -> None:
    towns = world.load_towns()
    assert len(towns) == 300
    assert len({town.id for town in towns}) == 300
    for town in towns:
        assert 8 <= len(town.facts) <= len(ASPECTS)
        assert facts_right(town.text, town.facts) == len(town.facts), town.id


def test_questions_are_about_shipped_towns_and_their_facts() -> None:
    towns = {town.id: town for town in world.load_towns()}
    kinds: dict[str, int] = {}
    for question in world.load_questions():
        kinds[question.kind] = kinds.get(question.kind, 0) + 1
        asked = [towns[name] for name in question.towns]
        if question.kind == "single":
            ((key, value),) = question.facts.items()
            assert asked[0].facts[key] == value
            assert facts_right(question.answer, question.facts) == 1
        if question.kind == "absent":
            assert question.answer == ABSENT and not question.facts
    assert kinds["single"] >= 200
    assert kinds.keys() == {"single", "absent", "description", "comparison", "two_step"}


def test_aspects_have_a_question_with_a_slot() -> None:
    assert len({aspect.key for aspect in ASPECTS}) == len(ASPECTS) >= 8
    for aspect in ASPECTS:
        assert "Aldmoor" in aspect.question.format(town="Aldmoor")


def test_facts_right_wants_whole_values() -> None:
    facts = {"founding": "1347", "river": "Tarn"}
    assert facts_right("Founded in 1347, on the TARN.", facts) == 2
    assert facts_right("Founded in 13475, on the Tarnholm.", facts) == 0
    assert facts_right("", facts) == 0


def test_a_truncated_copy_is_named_with_both_checksums(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model_path(), copy)
    assert model_path(copy) == copy
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DemoModelError, match=r"model\.safetensors .*expected sha256 \w{64}, got"):
        model_path(copy)
    weights.unlink()
    with pytest.raises(DemoModelError, match="no such file"):
        model_path(copy)
    with pytest.raises(DemoModelError, match="no file CHECKSUMS"):
        model_path(tmp_path)
