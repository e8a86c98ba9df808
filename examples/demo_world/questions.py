"""Ways to ask: the canonical question of each aspect (from `ramify.demo.world`) and others."""

from __future__ import annotations

import random

from ramify.demo.requests import POINT
from ramify.demo.world import ASPECTS, Aspect

ASPECT: dict[str, Aspect] = {aspect.key: aspect for aspect in ASPECTS}

# Other questions for the same sentence; {town} as in Aspect.question.
OTHERS = {
    "founding": ("When was {town} founded?", "In which year was {town} founded?"),
    "river": ("Which river does {town} lie on?", "Which river runs through {town}?"),
    "mayor": ("What is the mayor of {town} called?", "Who is mayor in {town}?"),
    "export": ("What does {town} mainly export?", "Which goods does {town} export?"),
    "festival": ("Which festival does {town} hold?", "Which festival is celebrated in {town}?"),
    "landmark": ("Which landmark stands in {town}?", "What is the best known sight in {town}?"),
    "population": ("How many people live in {town}?", "How large is the population of {town}?"),
    "neighbour": ("Which town is next to {town}?", "Which town is the neighbour of {town}?"),
    "school": ("Which school is in {town}?", "Where do children in {town} go to school?"),
    "ferry": ("Which ferry leaves from {town}?", "What is the ferry in {town} called?"),
}


def question(rng: random.Random, town: str, key: str, others: float = 0.5) -> str:
    """A question about one fact: canonical, or with chance `others` in another wording."""
    frame = rng.choice(OTHERS[key]) if rng.random() < others else ASPECT[key].question
    return frame.format(town=town)


def point(key: str) -> str:
    """The request of a branch: one point of an outline over the passage that is there."""
    return POINT.format(title=ASPECT[key].title)
