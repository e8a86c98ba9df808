"""Towns: a name, a split that the name alone decides, and one value for each aspect it has."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from examples.demo_world import names
from ramify.demo.world import ASPECTS

Split = Literal["train", "dev", "test", "shipped"]
KEYS: tuple[str, ...] = tuple(aspect.key for aspect in ASPECTS)


@dataclass(frozen=True)
class Facts:
    """A town as the generator knows it: `values` maps aspect key to value, in outline order."""

    name: str
    values: dict[str, str]


def split_of(name: str) -> Split:
    """The split of a town, from the hash of its name: 60 % train, 5 dev, 15 test, 20 shipped."""
    bucket = hashlib.sha256(name.encode()).digest()[0] / 256
    if bucket < 0.60:
        return "train"
    if bucket < 0.65:
        return "dev"
    return "test" if bucket < 0.80 else "shipped"


@lru_cache(maxsize=4)
def town_names(split: Split) -> tuple[str, ...]:
    """Every town name of a split, sorted."""
    every = sorted(head + tail for head in names.TOWN_HEADS for tail in names.TOWN_TAILS)
    return tuple(name for name in every if split_of(name) == split)


def _two(heads: tuple[str, ...], tails: tuple[str, ...], glue: str) -> Callable[..., str]:
    return lambda rng: rng.choice(heads) + glue + rng.choice(tails)


def _mayor(rng: random.Random) -> str:
    surname = rng.choice(names.SURNAME_HEADS) + rng.choice(names.SURNAME_TAILS)
    return f"{rng.choice(names.FIRST_NAMES)} {surname}"


def _festival(rng: random.Random) -> str:
    thing, kind = rng.choice(names.FESTIVAL_THINGS), rng.choice(names.FESTIVAL_KINDS)
    return f"{rng.choice(names.MONTHS)} {thing} {kind}"


def _school(rng: random.Random) -> str:
    name = rng.choice(names.SCHOOL_HEADS) + rng.choice(names.SCHOOL_TAILS)
    return f"{name} {rng.choice(names.SCHOOL_KINDS)}"


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "founding": lambda rng: str(rng.randint(1001, 1899)),
    "river": _two(names.RIVER_HEADS, names.RIVER_TAILS, ""),
    "mayor": _mayor,
    "export": _two(names.GOODS_KINDS, names.GOODS, " "),
    "festival": _festival,
    "landmark": _two(names.LANDMARK_KINDS, names.LANDMARKS, " "),
    "population": lambda rng: str(rng.randint(2000, 9999)),
    "school": _school,
    "ferry": _two(names.FERRY_KINDS, names.FERRIES, " "),
}


def make_town(
    rng: random.Random, name: str, keys: tuple[str, ...] | None = None, count: int = 0
) -> Facts:
    """A town with the aspects `keys`, or with `count` (0: eight to ten) aspects drawn at random.

    Its neighbour comes from the same split, so no test name is ever seen in training.
    """
    if keys is None:
        keys = tuple(rng.sample(KEYS, count or rng.randint(8, len(KEYS))))
    values: dict[str, str] = {}
    for key in KEYS:
        if key not in keys:
            continue
        if key == "neighbour":
            others = town_names(split_of(name))
            pick = rng.choice(others)
            while pick == name:
                pick = rng.choice(others)
            values[key] = pick
        else:
            values[key] = MAKERS[key](rng)
    return Facts(name, values)
