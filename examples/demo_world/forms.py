"""The forms of longer answers: outlines, fork tokens, plans of sub-questions and their steps.

A plan is what `rf.patterns.skeleton_graph` reads (`{"parts": [{"id", "question", "needs",
"difficulty", "tokens"}]}`); the requests are in `ramify.demo.requests`. The last part of a plan has
the answer to the whole question.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

from examples.demo_world.phrasing import canonical
from examples.demo_world.questions import ASPECT
from examples.demo_world.town import Facts, Split, make_town, town_names
from ramify.demo.requests import BY_POINTS, KNOWN

# What a two-step question can go through, with its way of naming the first town.
BRIDGES = {
    "river": "the town on the river {v}",
    "mayor": "the town whose mayor is {v}",
    "landmark": "the town with the {v}",
    "ferry": "the town with the ferry {v}",
}
ASK = {
    "founding": "What is the founding year of {town}?",
    "population": "What is the population of {town}?",
    "mayor": "Who is the mayor of {town}?",
    "school": "What is the school of {town}?",
    "export": "What is the main export of {town}?",
}
# key compared: question, end of the answer behind the town's name, is it the higher number?
COMPARE = {
    "founding": ("Which town is older, {a} or {b}?", " is older.", 0),
    "population": ("Which town has more people, {a} or {b}?", " has more people.", 1),
}


def headings(keys: tuple[str, ...]) -> list[str]:
    """The headings of an outline, numbered, in the order of `keys`."""
    return [f"{at}. {ASPECT[key].title}" for at, key in enumerate(keys, 1)]


def outline(keys: tuple[str, ...]) -> str:
    """The outline in one line: "1. Founding year 2. River"."""
    return " ".join(headings(keys))


def outline_json(keys: tuple[str, ...]) -> str:
    """The outline as `rf.patterns.skeleton_of_thought` reads it."""
    return json.dumps({"points": [ASPECT[key].title for key in keys]}, separators=(",", ":"))


def by_points(town: str) -> str:
    """The request for a description with fork tokens."""
    return BY_POINTS.format(town=town)


def with_known(known: list[tuple[str, str]], request: str) -> str:
    """A request behind the questions and answers that it may use."""
    return KNOWN + "\n".join(f"- {asked} {said}" for asked, said in known) + f"\n\n{request}"


def bridge(key: str, town: Facts, label: int) -> tuple[str, str]:
    """The first step of a two-step question: which town is meant, and the answer."""
    place = BRIDGES[key].format(v=town.values[key])
    return f"Which is {place}?", f"{place[0].upper()}{place[1:]} is {town.name} [{label}]."


def part(
    number: int, asks: str, needs: list[int], difficulty: int, tokens: int
) -> dict[str, object]:
    """One part of a plan."""
    return {
        "id": number, "question": asks, "needs": needs, "difficulty": difficulty, "tokens": tokens,
    }  # fmt: skip


def plan_text(parts: list[dict[str, object]]) -> str:
    """The plan as JSON without spaces."""
    return json.dumps({"parts": parts}, separators=(",", ":"))


@dataclass(frozen=True)
class Comparison:
    """Two towns compared by one number."""

    key: str
    one: Facts
    two: Facts
    labels: tuple[int, int] = (1, 1)

    @property
    def question(self) -> str:
        """The question, naming both towns."""
        return COMPARE[self.key][0].format(a=self.one.name, b=self.two.name)

    last_question = question

    @property
    def right(self) -> Facts:
        """The town that is the answer."""
        low, high = sorted((self.one, self.two), key=lambda town: int(town.values[self.key]))
        return (low, high)[COMPARE[self.key][2]]

    @property
    def steps(self) -> tuple[str, str, str, str]:
        """The answer in its parts: both numbers, digit against digit up to the first that differs,
        the winner, the end.

        Each sign is about digits at fixed distances, one in each number, which a small model learns
        in minutes; the winner then hangs on the last sign alone.
        """
        first, second = (town.values[self.key] for town in (self.one, self.two))
        signs = ""
        for one, two in zip(first, second, strict=True):
            signs += "=" if one == two else "<" if one < two else ">"
            if one != two:
                break
        return (f"{first} and {second}:", f" {signs},", f" so {self.right.name}", self.end)

    @property
    def answer(self) -> str:
        """The answer: "1134 and 1379: =<, so Quillbeach is older."."""
        return "".join(self.steps)

    @property
    def end(self) -> str:
        """What the winner is."""
        return COMPARE[self.key][1]

    @property
    def conclusion(self) -> str:
        """What the answer says in the end."""
        return self.right.name + self.end

    def known(self) -> list[tuple[str, str]]:
        """The two facts, as questions and answers."""
        return [
            (
                ASK[self.key].format(town=town.name),
                f"{canonical(town.name, self.key, town.values[self.key])} [{label}].",
            )
            for town, label in zip((self.one, self.two), self.labels, strict=True)
        ]

    def plan(self) -> str:
        """Two facts side by side, then the comparison."""
        (first, _), (second, _) = self.known()
        return plan_text(
            [
                part(1, first, [], 1, 24),
                part(2, second, [], 1, 24),
                part(3, self.question, [1, 2], 2, 40),
            ]
        )


@dataclass(frozen=True)
class TwoStep:
    """A fact `key` of the town that the fact `by` tells."""

    by: str
    key: str
    town: Facts
    label: int = 1

    @property
    def question(self) -> str:
        """The question, which does not name the town."""
        return ASK[self.key].format(town=BRIDGES[self.by].format(v=self.town.values[self.by]))

    @property
    def last_question(self) -> str:
        """The question of the second step."""
        return ASK[self.key].format(town="that town")

    @property
    def answer(self) -> str:
        """The answer, with citation."""
        return f"{canonical(self.town.name, self.key, self.town.values[self.key])} [{self.label}]."

    def plan(self) -> str:
        """Which town, then its fact."""
        first, _ = bridge(self.by, self.town, self.label)
        return plan_text([part(1, first, [], 1, 24), part(2, self.last_question, [1], 1, 24)])


def some_comparison(rng: random.Random, split: Split) -> Comparison:
    """Two towns with different numbers."""
    key = rng.choice(list(COMPARE))
    one, two = (make_town(rng, name, (key,)) for name in rng.sample(town_names(split), 2))
    while one.values[key] == two.values[key]:
        two = make_town(rng, two.name, (key,))
    return Comparison(key, one, two, (rng.randint(1, 4), rng.randint(1, 4)))


def nearer(rng: random.Random, task: Comparison) -> Comparison:
    """The same with up to three leading digits made equal, so that any digit may decide."""
    first, second = task.one.values[task.key], task.two.values[task.key]
    same = rng.randrange(4)
    second = first[:same] + second[same:]
    if first == second:
        return task
    return replace(task, two=replace(task.two, values={**task.two.values, task.key: second}))


def some_two_step(rng: random.Random, split: Split) -> TwoStep:
    """A two-step question."""
    by = rng.choice(list(BRIDGES))
    key = rng.choice([key for key in ASK if key != by])
    town = make_town(rng, rng.choice(town_names(split)), (by, key))
    return TwoStep(by, key, town, rng.randint(1, 4))


def some_task(rng: random.Random, split: Split) -> Comparison | TwoStep:
    """A comparison or a two-step question."""
    return some_comparison(rng, split) if rng.random() < 0.5 else some_two_step(rng, split)
