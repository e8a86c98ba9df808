"""Training data: scenes of the demo world, text whose pieces carry the weight of their loss.

A scene is a prefix (system message, passages) and branches that go on from it, each a request and
its answer. Branches do not see each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from examples.demo_world import forms
from examples.demo_world.passages import (
    CONTEXT_LOSS,
    Mix,
    Passage,
    Piece,
    aspects,
    make_passage,
    make_passages,
)
from examples.demo_world.phrasing import SUBJECT
from examples.demo_world.questions import point, question
from examples.demo_world.town import KEYS, Split, make_town, town_names
from ramify.demo import requests
from ramify.demo.world import ABSENT

SYSTEMS = (
    "Answer from the passages. Cite them as [n].",
    "Answer from the passages.",
    "You answer questions about towns.",
)
FRAME_LOSS, LABEL_LOSS, VALUE_LOSS = 0.3, 0.6, 1.0
END_LOSS = VALUE_LOSS  # to stop is decided against going on: less would make lists too long


class Message(NamedTuple):
    """One message; the pieces joined are its content with the leading space."""

    role: str
    pieces: tuple[Piece, ...]


class Scene(NamedTuple):
    """A prefix and what branches off it. `open` is a user message that is not closed: each
    branch's first message then goes on in it, behind an empty line if it says anything."""

    messages: tuple[Message, ...]
    open: tuple[Piece, ...] | None
    branches: tuple[tuple[Message, ...], ...]


def answer(passage: Passage, key: str) -> tuple[Piece, ...]:
    """The canonical answer with citation, or the absent answer."""
    told = aspects(passage.shown)
    if key not in passage.shown:
        head, rest = ABSENT.split(" do ")
        return (Piece(" " + head, VALUE_LOSS, told=told), Piece(" do " + rest, FRAME_LOSS))
    subject, article = SUBJECT[key]
    label = passage.label
    return (
        # here the model says whether there is an answer
        Piece(f" The {subject}", VALUE_LOSS, told=told),
        Piece(f" of {passage.town.name}", FRAME_LOSS, told=told),
        Piece(" is", FRAME_LOSS, label=label),
        Piece(" " + article + passage.town.values[key], VALUE_LOSS, label=label),
        Piece(f" [{label}].", LABEL_LOSS, label=label, told=told),
    )


def exchange(request: str, pieces: tuple[Piece, ...], before: str = "") -> tuple[Message, ...]:
    """One branch: a request and its answer, perhaps behind another message of the user."""
    said = (Message("user", (Piece(" " + before, CONTEXT_LOSS),)),) if before else ()
    return (*said, Message("user", (Piece(" " + request, CONTEXT_LOSS),)),
            Message("assistant", pieces))  # fmt: skip


def scene(
    rng: random.Random, passages: list[Passage], branches: list[tuple[Message, ...]]
) -> Scene:
    """Both layouts: passages in a message of their own, or before the question."""
    block = tuple(
        piece
        for at, passage in enumerate(passages)
        for piece in passage.pieces("\n" if at else " ")
    )
    messages = []
    if rng.random() < 0.7:
        messages.append(Message("system", (Piece(" " + rng.choice(SYSTEMS), 0.0),)))
    if passages and rng.random() < 0.5:
        messages.append(Message("user", block))
        return Scene(tuple(messages), None, tuple(branches))
    return Scene(tuple(messages), block, tuple(branches))


def asked(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """Single facts, `mix.asks` of them (some are asked again in other words)."""
    passages = make_passages(rng, split, mix)
    pairs = [(passage, key) for passage in passages for key in passage.shown]
    pairs = rng.sample(pairs, min(mix.asks, len(pairs)))
    pairs += [rng.choice(pairs) for _ in range(mix.asks - len(pairs))]
    branches = []
    for passage, key in pairs:
        if rng.random() < mix.absent and (missing := [k for k in KEYS if k not in passage.shown]):
            key = rng.choice(missing)
        name = passage.town.name
        named = len(passages) == 1 and name in passage.text
        if named and rng.random() < mix.point:
            before = f"Describe {name}." if rng.random() < 0.2 else ""
            branches.append(exchange(point(key), answer(passage, key), before))
        else:
            branches.append(exchange(question(rng, name, key, mix.others), answer(passage, key)))
    return scene(rng, passages, branches)


def points(passage: Passage, text: str) -> Piece:
    """The aspects of a passage, written as `text`."""
    return Piece(" " + text, VALUE_LOSS, told=aspects(passage.shown))


def described(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """A whole description at once, and its outline."""
    (passage,) = make_passages(rng, split, mix)
    name = passage.town.name
    pieces = tuple(piece for key in passage.shown for piece in answer(passage, key))
    plain = (points(passage, forms.outline(passage.shown)),)
    branches = [
        exchange(f"Describe {name}.", pieces),
        exchange(f"Write an outline for {name}.", plain),
    ]
    return scene(rng, [passage], branches)


def outlined(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """The points of a town: as an outline, as JSON, and as headings with forks."""
    (passage,) = make_passages(rng, split, mix)
    name = passage.town.name
    plain = (points(passage, forms.outline(passage.shown)),)
    listed = (points(passage, forms.outline_json(passage.shown)),)
    branches = [
        exchange(f"Write an outline for {name}.", plain),
        exchange(requests.LIST_POINTS, listed, f"Describe {name}."),
        exchange(forms.by_points(name), forked(passage, 1.0)),
    ]
    return scene(rng, [passage], branches)


def divided(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """A description with fork tokens: what the parent writes, and three children."""
    (passage,) = make_passages(rng, split, mix)
    name = passage.town.name
    branches = [exchange(forms.by_points(name), forked(passage, 1.0))]
    for at in rng.sample(range(len(passage.shown)), min(3, len(passage.shown))):
        detail = answer(passage, passage.shown[at])
        before = forked(passage, 0.0, at + 1)
        child = Piece(requests.CHILD, 0.0, special=True)
        branches.append(exchange(forms.by_points(name), (*before, child, *detail)))
    return scene(rng, [passage], branches)


def forked(passage: Passage, loss: float, count: int | None = None) -> tuple[Piece, ...]:
    """What the parent writes: the first `count` headings, each with a fork behind it."""
    pieces, told = [], aspects(passage.shown)
    for heading in forms.headings(passage.shown[:count]):
        pieces.append(Piece(" " + heading, loss * VALUE_LOSS, told=told))
        pieces.append(Piece(requests.FORK, loss * FRAME_LOSS, special=True, told=told))
    return tuple(pieces)


def planned(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """Plans of comparisons and two-step questions; no passage is needed for that."""
    branches = []
    for _ in range(4):
        task = forms.some_task(rng, split)
        branches.append(exchange(requests.PLAN, (Piece(" " + task.plan(), 0.5),), task.question))
    return scene(rng, [], branches)


def reasoned(comparison: forms.Comparison) -> tuple[Piece, ...]:
    """The answer to a comparison, most of the loss on what is decided in it."""
    numbers, signs, winner, end = comparison.steps
    return (
        Piece(f" {numbers}", FRAME_LOSS),
        Piece(signs, VALUE_LOSS),
        Piece(winner, VALUE_LOSS),
        Piece(end, FRAME_LOSS),
    )


def compared(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """The last step of a comparison and the conclusion, from what is known alone."""
    branches = []
    for _ in range(5):
        comparison = forms.nearer(rng, forms.some_comparison(rng, split))
        request = forms.with_known(comparison.known(), comparison.question)
        branches.append(exchange(request, reasoned(comparison)))
    task = forms.some_task(rng, split)
    known = forms.with_known([(task.last_question, task.answer)], requests.CONCLUDE)
    branches.append(exchange(known, (Piece(f" {task.answer}", FRAME_LOSS),), task.question))
    return scene(rng, [], branches)


def hopped(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """The steps of two-step questions."""
    passages = make_passages(rng, split, mix)
    branches = []
    for _ in range(6):
        passage = rng.choice(passages)
        keys = [key for key in forms.BRIDGES if key in passage.shown]
        named = passage.town.name in passage.text and keys
        first = rng.choice(keys) if named else ""
        ask = [key for key in forms.ASK if key in passage.shown and key != first]
        if not named or (ask and rng.random() < 0.5):
            label = rng.randint(1, 9)
            key = rng.choice(ask or list(passage.shown))
            known = forms.bridge(first, passage.town, label) if first else None
            request = question(rng, passage.town.name, key, 0.0)
            if known is not None and ask:
                request = forms.with_known([known], forms.ASK[key].format(town="that town"))
            branches.append(exchange(request, answer(passage, key)))
        else:
            asks, said = forms.bridge(first, passage.town, passage.label)
            branches.append(exchange(asks, (Piece(" " + said, LABEL_LOSS),)))
    return scene(rng, passages, branches)


def direct(rng: random.Random, split: Split, mix: Mix) -> Scene:
    """Comparisons and two-step questions over all their passages at once, without a plan."""
    count = rng.randint(*mix.passages)
    keys = (*forms.COMPARE, *rng.sample(sorted(forms.BRIDGES), 2), "school")
    passages = [
        make_passage(rng, make_town(rng, name, keys), label, mix)
        for label, name in enumerate(rng.sample(town_names(split), count), 1)
    ]
    branches = []
    for _ in range(3):
        one, two = rng.sample(passages, 2)
        key = rng.choice(list(forms.COMPARE))
        if one.town.values[key] != two.town.values[key]:
            task = forms.Comparison(key, one.town, two.town)
            branches.append(exchange(task.question, reasoned(task)))
    for _ in range(3):
        passage = rng.choice(passages)
        by = rng.choice([key for key in keys if key in forms.BRIDGES])
        key = rng.choice([key for key in keys if key in forms.ASK and key != by])
        step = forms.TwoStep(by, key, passage.town)
        branches.append(exchange(step.question, answer(passage, key)))
    return scene(rng, passages, branches)


Maker = Callable[[random.Random, Split, Mix], Scene]
MAKERS: dict[str, Maker] = {
    "ask": asked,
    "describe": described,
    "outline": outlined,
    "fork": divided,
    "plan": planned,
    "compare": compared,
    "hop": hopped,
    "direct": direct,
}
