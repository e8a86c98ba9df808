"""What is shipped of the world: 300 towns with their passages, and questions with exact answers."""

from __future__ import annotations

import random
from typing import Any

from examples.demo_world.forms import ASK, BRIDGES, COMPARE, Comparison, TwoStep
from examples.demo_world.phrasing import canonical, sentences
from examples.demo_world.questions import question
from examples.demo_world.town import KEYS, Facts, make_town, town_names
from ramify.demo.world import ABSENT

TOWNS, SINGLE, ABSENT_COUNT, DESCRIPTION, COMPARISON, TWO_STEP = 300, 250, 50, 30, 40, 40
Row = dict[str, Any]


def shipped_towns(seed: int) -> list[Facts]:
    """The shipped towns, in the order of their names. Rivers, mayors, ... are unique to a town."""
    rng = random.Random(f"{seed}/shipped")
    towns: list[Facts] = []
    taken: set[str] = set()
    for name in sorted(rng.sample(town_names("shipped"), TOWNS)):
        town = make_town(rng, name)
        while taken & {town.values.get(key, name) for key in BRIDGES}:
            town = make_town(rng, name)
        taken |= {town.values[key] for key in BRIDGES if key in town.values}
        towns.append(town)
    return towns


def town_rows(seed: int, towns: list[Facts]) -> list[Row]:
    """`towns.jsonl`: a passage that says every fact of its town once."""
    rng = random.Random(f"{seed}/passages")
    return [
        {
            "id": town.name.lower(),
            "title": town.name,
            "text": " ".join(sentences(rng, town)),
            "facts": town.values,
        }
        for town in towns
    ]


def _row(kind: str, ask: str, answer: str, facts: dict[str, str], *towns: Facts) -> Row:
    return {
        "kind": kind,
        "question": ask,
        "answer": answer,
        "facts": facts,
        "towns": [town.name.lower() for town in towns],
    }


def _single(rng: random.Random, town: Facts) -> Row:
    key = rng.choice(list(town.values))
    value = town.values[key]
    return _row(
        "single",
        question(rng, town.name, key),
        canonical(town.name, key, value) + ".",
        {key: value},
        town,
    )


def _absent(rng: random.Random, town: Facts) -> Row:
    key = rng.choice([key for key in KEYS if key not in town.values])
    return _row("absent", question(rng, town.name, key), ABSENT, {}, town)


def _comparison(rng: random.Random, one: Facts, two: Facts) -> Row:
    comparison = Comparison(rng.choice(list(COMPARE)), one, two)
    right, key = comparison.right, comparison.key
    return _row(
        "comparison",
        comparison.question,
        right.name,
        {"town": right.name, key: right.values[key]},
        one,
        two,
    )


def _two_step(rng: random.Random, town: Facts) -> Row:
    by = rng.choice([key for key in BRIDGES if key in town.values])
    key = rng.choice([key for key in ASK if key in town.values and key != by])
    return _row(
        "two_step",
        TwoStep(by, key, town).question,
        canonical(town.name, key, town.values[key]) + ".",
        {key: town.values[key]},
        town,
    )


def question_rows(seed: int, towns: list[Facts]) -> list[Row]:
    """`questions.jsonl`: questions of every kind over the shipped towns."""
    rng = random.Random(f"{seed}/questions")
    lacking = [town for town in towns if len(town.values) < len(KEYS)]
    dated = [town for town in towns if {"founding", "population"} <= town.values.keys()]
    rows = [_single(rng, rng.choice(towns)) for _ in range(SINGLE)]
    rows += [_absent(rng, rng.choice(lacking)) for _ in range(ABSENT_COUNT)]
    for town in rng.sample(towns, DESCRIPTION):
        rows.append(_row("description", f"Describe {town.name}.", "", town.values, town))
    rows += [_comparison(rng, *rng.sample(dated, 2)) for _ in range(COMPARISON)]
    bridged = [town for town in towns if town.values.keys() & BRIDGES.keys()]
    rows += [_two_step(rng, rng.choice(bridged)) for _ in range(TWO_STEP)]
    unique: dict[str, Row] = {row["question"]: row for row in rows}
    return list(unique.values())
