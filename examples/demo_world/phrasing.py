"""How facts are said: sentences of passages, canonical answers, two ways to shorten them."""

from __future__ import annotations

import random
from collections.abc import Iterable

from examples.demo_world.names import words
from examples.demo_world.town import Facts

# The answer's own wording: one frame for all aspects, the subject right after "The".
SUBJECT = {
    "founding": ("founding year", ""),
    "river": ("river", "the "),
    "mayor": ("mayor", ""),
    "export": ("main export", ""),
    "festival": ("festival", "the "),
    "landmark": ("landmark", "the "),
    "population": ("population", ""),
    "neighbour": ("nearest neighbour", ""),
    "school": ("school", ""),
    "ferry": ("ferry", "the "),
}

# Other wordings with the town's name; {v} is the value, always said in one piece.
NAMED = {
    "founding": (
        "{t} was founded in {v}.",
        "Settlers founded {t} in the year {v}.",
        "{t} goes back to its founding in {v}.",
    ),
    "river": (
        "{t} lies on the river {v}.",
        "The river {v} runs through {t}.",
        "{t} was built on the banks of the {v}.",
    ),
    "mayor": (
        "{t} has {v} as its mayor.",
        "The people of {t} chose {v} as mayor.",
        "In {t} the mayor is called {v}.",
    ),
    "export": (
        "{t} is known for its export of {v}.",
        "Traders in {t} mainly export {v}.",
        "{t} mostly sells {v} abroad.",
    ),
    "festival": (
        "{t} holds the {v}.",
        "Every year {t} celebrates the {v}.",
        "Visitors come to {t} for the {v}.",
    ),
    "landmark": (
        "The best known sight in {t} is the {v}.",
        "{t} is proud of the {v}.",
        "Above the roofs of {t} stands the {v}.",
    ),
    "population": (
        "{t} has a population of {v}.",
        "About {v} people live in {t}.",
        "{t} is home to {v} people.",
    ),
    "neighbour": (
        "The town next to {t} is {v}.",
        "{t} has {v} as its nearest neighbour.",
        "A short road joins {t} to its neighbour {v}.",
    ),
    "school": (
        "Children in {t} go to {v}.",
        "{t} has a school called {v}.",
        "Pupils in {t} learn at {v}.",
    ),
    "ferry": (
        "A ferry called the {v} leaves from {t}.",
        "From {t} you can take the ferry {v}.",
        "{t} is served by the ferry {v}.",
    ),
}

# Wordings that lean on the sentence before them.
LEANING = {
    "founding": ("It was founded in {v}.", "The town was founded in {v}."),
    "river": ("It lies on the river {v}.", "The town lies on the river {v}."),
    "mayor": ("Its mayor is {v}.", "The town has {v} as its mayor."),
    "export": ("Its main export is {v}.", "The town is known for its export of {v}."),
    "festival": ("Its festival is the {v}.", "The town holds the {v}."),
    "landmark": ("Its landmark is the {v}.", "The town is proud of the {v}."),
    "population": ("Its population is {v}.", "The town has a population of {v}."),
    "neighbour": ("Its nearest neighbour is {v}.", "The town next to it is {v}."),
    "school": ("Its school is {v}.", "The town has a school called {v}."),
    "ferry": ("Its ferry is the {v}.", "The town is served by the ferry {v}."),
}

FUNCTION_WORDS = frozenset(
    words(
        "a an the is are was were be been of in on to at for from by with as and or its it that "
        "this has have had you can their there"
    )
)


def canonical(town: str, key: str, value: str) -> str:
    """The one sentence that answers `key`, without citation and full stop."""
    subject, article = SUBJECT[key]
    return f"The {subject} of {town} is {article}{value}"


def sentence(rng: random.Random, town: Facts, key: str, plain: float, lean: float) -> str:
    """One fact as a sentence: canonical with chance `plain`, else leaning with chance `lean`."""
    value = town.values[key]
    if rng.random() < plain:
        return canonical(town.name, key, value) + "."
    frames = LEANING[key] if rng.random() < lean else NAMED[key]
    return rng.choice(frames).format(t=town.name, v=value)


def sentences(
    rng: random.Random, town: Facts, plain: float = 0.25, lean: float = 0.25
) -> list[str]:
    """The town's facts in random order; the first sentence always names the town."""
    keys = list(town.values)
    rng.shuffle(keys)
    return [sentence(rng, town, key, plain, lean if at else 0.0) for at, key in enumerate(keys)]


def drop_words(rng: random.Random, text: str, rate: float) -> str:
    """`text` with each function word left out with chance `rate` (token-dropping compression)."""
    kept = [
        word
        for word in text.split(" ")
        if word.lower() not in FUNCTION_WORDS or rng.random() >= rate
    ]
    return " ".join(kept)


def drop_sentences(
    rng: random.Random, lines: list[str], keep: Iterable[int], rate: float
) -> list[str]:
    """`lines` without each one not in `keep` with chance `rate` (extractive compression)."""
    wanted = set(keep)
    return [line for at, line in enumerate(lines) if at in wanted or rng.random() >= rate]
