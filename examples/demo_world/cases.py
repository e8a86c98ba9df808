"""Test cases: prompts over towns that training never saw, with the answer expected."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from examples.demo_world import forms
from examples.demo_world.phrasing import canonical, drop_sentences, drop_words, sentences
from examples.demo_world.questions import point, question
from examples.demo_world.tasks import SYSTEMS
from examples.demo_world.town import KEYS, Facts, make_town, town_names
from ramify.demo import requests
from ramify.demo.world import ABSENT

Shorten = Callable[[random.Random, list[str], int], str]
Way = Literal["plain", "graph", "forks"]


@dataclass(frozen=True)
class Case:
    """One prompt. `answer` is the whole text expected, `facts` the values that must be in it.

    `passages` and `question`: the same for ways that do not ask everything at once.
    """

    messages: list[dict[str, str]]
    answer: str
    facts: dict[str, str]
    passages: tuple[str, ...] = ()
    question: str = ""


@dataclass(frozen=True)
class Task:
    """A row of the table: how to make a case, its bar in percent (None: no bar), its level.

    `way`: how it is answered (see `ways`). Tasks with the same `draw` have the same cases.
    """

    name: str
    make: Callable[[random.Random], Case]
    bar: float | None = None
    level: int = 1
    way: Way = "plain"
    draw: str = ""


def untouched(rng: random.Random, lines: list[str], asked: int) -> str:
    """The passage as written."""
    return " ".join(lines)


def words_dropped(rate: float) -> Shorten:
    """Each function word left out with chance `rate`."""
    return lambda rng, lines, asked: drop_words(rng, " ".join(lines), rate)


def sentences_removed(rng: random.Random, lines: list[str], asked: int) -> str:
    """Half of the sentences that are not asked about left out."""
    return " ".join(drop_sentences(rng, lines, [asked], 0.5))


def both(rng: random.Random, lines: list[str], asked: int) -> str:
    """Sentences removed, then 35 % of the function words."""
    return drop_words(rng, sentences_removed(rng, lines, asked), 0.35)


def prompt(rng: random.Random, block: str, request: str) -> list[dict[str, str]]:
    """Both layouts, with and without a system message."""
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": SYSTEMS[0]})
    if rng.random() < 0.5:
        return [*messages, {"role": "user", "content": f"{block}\n\n{request}"}]
    return [*messages, {"role": "user", "content": block}, {"role": "user", "content": request}]


def test_town(rng: random.Random, keys: tuple[str, ...] | None = None) -> Facts:
    """A town of the test split with six to ten facts."""
    return make_town(rng, rng.choice(town_names("test")), keys, rng.randint(6, 10))


def one_passage(shorten: Shorten, ask_point: bool = False) -> Callable[[random.Random], Case]:
    """A present fact of the one town in the prompt."""

    def make(rng: random.Random) -> Case:
        town = test_town(rng)
        key = rng.choice(list(town.values))
        value = town.values[key]
        lines = sentences(rng, town)
        asked = next(at for at, line in enumerate(lines) if value in line)
        if ask_point:  # the point does not name the town, so its sentence must
            lines.insert(
                0, lines.pop(next(at for at, line in enumerate(lines) if town.name in line))
            )
            asked = next(at for at, line in enumerate(lines) if value in line)
        text = shorten(rng, lines, asked)
        if ask_point and town.name not in text:
            text = f"{lines[0]} {text}"
        request = point(key) if ask_point else question(rng, town.name, key)
        return Case(
            prompt(rng, f"[1] {text}", request),
            canonical(town.name, key, value) + " [1].",
            {key: value},
        )

    return make


def many_passages(count: int, absent: bool = False) -> Callable[[random.Random], Case]:
    """A fact of one of `count` towns that share most aspects; or one that none of them has."""

    def make(rng: random.Random) -> Case:
        names = rng.sample(town_names("test"), count)
        key = rng.choice(KEYS)
        towns = []
        for name in names:
            others = [other for other in KEYS if other != key]
            keys = rng.sample(others, rng.randint(5, 9))
            towns.append(make_town(rng, name, tuple(keys if absent else [*keys, key])))
        at = rng.randrange(count)
        block = "\n".join(
            f"[{number}] {' '.join(sentences(rng, town))}" for number, town in enumerate(towns, 1)
        )
        request = question(rng, names[at], key)
        if absent:
            return Case(prompt(rng, block, request), ABSENT, {"absent": ABSENT})
        value = towns[at].values[key]
        return Case(
            prompt(rng, block, request),
            f"{canonical(names[at], key, value)} [{at + 1}].",
            {key: value},
        )

    return make


def described(shorten: Shorten, request: str = "Describe {town}.") -> Callable[..., Case]:
    """A whole description at once, or with fork tokens."""

    def make(rng: random.Random) -> Case:
        town = test_town(rng)
        text = shorten(rng, sentences(rng, town), 0)
        said = [f"{canonical(town.name, key, value)} [1]." for key, value in town.values.items()]
        ask = request.format(town=town.name)
        return Case(prompt(rng, f"[1] {text}", ask), " ".join(said), dict(town.values))

    return make


def outlined(shorten: Shorten, as_json: bool = False) -> Callable[[random.Random], Case]:
    """An outline that names exactly the aspects that are there."""

    def make(rng: random.Random) -> Case:
        town = test_town(rng)
        text = shorten(rng, sentences(rng, town), 0)
        keys = tuple(town.values)
        expected = forms.outline_json(keys) if as_json else forms.outline(keys)
        ask = f"Describe {town.name}." if as_json else f"Write an outline for {town.name}."
        messages = prompt(rng, f"[1] {text}", ask)
        if as_json:
            messages.append({"role": "user", "content": requests.LIST_POINTS})
        return Case(messages, expected, {"outline": expected})

    return make


def _over(
    rng: random.Random, towns: list[Facts], ask: str, answer: str, facts: dict[str, str]
) -> Case:
    """A case over several passages, for the direct way and for the graph."""
    texts = [" ".join(sentences(rng, town)) for town in towns]
    passages = tuple(f"[{number}] {text}" for number, text in enumerate(texts, 1))
    return Case(prompt(rng, "\n".join(passages), ask), answer, facts, passages, ask)


def two_step(rng: random.Random) -> Case:
    """A fact of the town that another fact tells; four passages."""
    by = rng.choice(list(forms.BRIDGES))
    key = rng.choice([key for key in forms.ASK if key != by])
    others = [other for other in KEYS if other not in (by, key)]
    towns: list[Facts] = []
    for name in rng.sample(town_names("test"), 4):
        town = make_town(rng, name, (by, key, *rng.sample(others, 5)))
        while any(town.values[by] == other.values[by] for other in towns):
            town = make_town(rng, name, tuple(town.values))
        towns.append(town)
    at = rng.randrange(4)
    step = forms.TwoStep(by, key, towns[at], at + 1)
    return _over(rng, towns, step.question, step.answer, {key: towns[at].values[key]})


def comparison(rng: random.Random) -> Case:
    """Two of four towns compared by a number."""
    key = rng.choice(list(forms.COMPARE))
    others = [other for other in KEYS if other != key]
    names = rng.sample(town_names("test"), 4)
    towns = [make_town(rng, name, (key, *rng.sample(others, 6))) for name in names]
    one, two = rng.sample(towns, 2)
    if one.values[key] == two.values[key]:
        return comparison(rng)
    task = forms.Comparison(key, one, two)
    return _over(rng, towns, task.question, task.answer, {"town": task.conclusion})


def planned(
    make: Callable[[random.Random], forms.Comparison | forms.TwoStep],
) -> Callable[..., Case]:
    """The plan of a question, without passages."""

    def case(rng: random.Random) -> Case:
        task = make(rng)
        contents = [task.question, requests.PLAN]
        messages = [{"role": "user", "content": content} for content in contents]
        return Case(messages, task.plan(), {"plan": task.plan()})

    return case


def _compare(rng: random.Random) -> forms.Comparison:
    return forms.some_comparison(rng, "test")


def _hop(rng: random.Random) -> forms.TwoStep:
    return forms.some_two_step(rng, "test")


TASKS: tuple[Task, ...] = (
    Task("one passage", one_passage(untouched), 95),
    Task("one passage, 35 % of function words dropped", one_passage(words_dropped(0.35)), 95),
    Task("one passage, all function words dropped", one_passage(words_dropped(1.0))),
    Task("one passage, sentences removed", one_passage(sentences_removed), 95),
    Task("one passage, sentences removed and words dropped", one_passage(both), 95),
    Task("one passage, point request", one_passage(untouched, ask_point=True), 90),
    Task(
        "point request, 35 % of function words dropped",
        one_passage(words_dropped(0.35), ask_point=True),
        90,
    ),
    Task("absent fact, one passage", many_passages(1, absent=True), 85, 2),
    Task("description, one passage (facts)", described(untouched), 90, 2),
    Task("description, 35 % of function words dropped", described(words_dropped(0.35)), 90, 2),
    Task(
        "description by fork tokens",
        described(untouched, "Describe {town} point by point."),
        None,
        2,
        "forks",
    ),
    Task("outline, one passage", outlined(untouched), 90, 2),
    Task("outline, 35 % of function words dropped", outlined(words_dropped(0.35)), 90, 2),
    Task("outline as JSON", outlined(untouched, as_json=True), 90, 2),
    Task("two passages", many_passages(2), None, 2),
    Task("four passages", many_passages(4), 90, 2),
    Task("eight passages", many_passages(8), 85, 2),
    Task("absent fact, four passages", many_passages(4, absent=True), 85, 2),
    Task("plan of a comparison", planned(_compare), None, 2),
    Task("plan of a two-step question", planned(_hop), None, 2),
    Task("comparison, direct, four passages", comparison, None, 2, draw="comparison"),
    Task("comparison by graph", comparison, 80, 2, "graph", "comparison"),
    Task("two-step question, direct, four passages", two_step, None, 2, draw="two-step"),
    Task("two-step question by graph", two_step, 80, 2, "graph", "two-step"),
)


def make_cases(task: Task, seed: int, count: int) -> list[Case]:
    """`count` cases of a task, the same for the same seed."""
    rng = random.Random(f"{seed}/{task.draw or task.name}")
    return [task.make(rng) for _ in range(count)]
