"""Test cases: prompts over towns that training never saw, with the answer expected."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from examples.demo_world.phrasing import canonical, drop_sentences, drop_words, sentences
from examples.demo_world.questions import ASPECT, point, question
from examples.demo_world.tasks import SYSTEMS, Passage, titles
from examples.demo_world.town import KEYS, Facts, make_town, town_names
from ramify.demo.world import ABSENT

Shorten = Callable[[random.Random, list[str], int], str]


@dataclass(frozen=True)
class Case:
    """One prompt. `answer` is the whole text expected, `facts` the values that must be in it."""

    messages: list[dict[str, str]]
    answer: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Task:
    """A row of the table: how to make a case, its bar in percent (None: no bar), its level."""

    name: str
    make: Callable[[random.Random], Case]
    bar: float | None = None
    level: int = 1


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


def described(rng: random.Random) -> Case:
    """A whole description at once."""
    town = test_town(rng)
    text = " ".join(sentences(rng, town))
    said = [f"{canonical(town.name, key, value)} [1]." for key, value in town.values.items()]
    return Case(
        prompt(rng, f"[1] {text}", f"Describe {town.name}."), " ".join(said), dict(town.values)
    )


def outlined(rng: random.Random) -> Case:
    """An outline that names exactly the aspects that are there."""
    town = test_town(rng)
    text = " ".join(sentences(rng, town))
    expected = titles(Passage(town, 1, text, tuple(town.values)))
    return Case(
        prompt(rng, f"[1] {text}", f"Write an outline for {town.name}."),
        expected,
        {"outline": expected},
    )


def two_step(rng: random.Random) -> Case:
    """The mayor of the town on a river, four passages, answered directly."""
    names = rng.sample(town_names("test"), 4)
    towns = [make_town(rng, name, ("river", "mayor", *rng.sample(KEYS[3:], 5))) for name in names]
    at = rng.randrange(4)
    block = "\n".join(
        f"[{number}] {' '.join(sentences(rng, town))}" for number, town in enumerate(towns, 1)
    )
    values = towns[at].values
    request = ASPECT["mayor"].question.format(town=f"the town on the river {values['river']}")
    return Case(
        prompt(rng, block, request),
        f"{canonical(names[at], 'mayor', values['mayor'])} [{at + 1}].",
        {"mayor": values["mayor"]},
    )


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
    Task("description, one passage (facts)", described, 90, 2),
    Task("outline, one passage", outlined, 90, 2),
    Task("two passages", many_passages(2), None, 2),
    Task("four passages", many_passages(4), 90, 2),
    Task("eight passages", many_passages(8), 85, 2),
    Task("absent fact, four passages", many_passages(4, absent=True), 85, 2),
    Task("two-step question, direct, four passages", two_step, None, 2),
)


def make_cases(task: Task, seed: int, count: int) -> list[Case]:
    """`count` cases of a task, the same for the same seed."""
    rng = random.Random(f"{seed}/{task.name}")
    return [task.make(rng) for _ in range(count)]
