"""Conversations of the demo world, as messages whose pieces carry the weight of their loss."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from examples.demo_world.phrasing import SUBJECT, drop_sentences, drop_words, sentences
from examples.demo_world.questions import ASPECT, point, question
from examples.demo_world.town import KEYS, Facts, Split, make_town, town_names
from ramify.demo.world import ABSENT

SYSTEMS = (
    "Answer from the passages. Cite them as [n].",
    "Answer from the passages.",
    "You answer questions about towns.",
)
CONTEXT_LOSS, FRAME_LOSS, VALUE_LOSS = 0.1, 0.3, 1.0
CONTEXT_SHARE = 0.2  # of the context's tokens: their softmax costs more time than it teaches


@dataclass(frozen=True)
class Mix:
    """What conversations of one kind look like. Shares are chances between 0 and 1."""

    name: str
    facts: tuple[int, int] = (3, 6)  # facts per passage, both ends included
    passages: tuple[int, int] = (1, 1)
    plain: float = 0.25  # share of sentences in the answer's own wording
    lean: float = 0.25  # share of the others that say "it" or "the town"
    short: float = 0.0  # share of passages shortened by words, by sentences or by both
    absent: float = 0.0  # share of turns that ask for what the passages do not say
    others: float = 0.5  # share of questions not in the canonical wording
    point: float = 0.3  # share of turns that name a point instead (one passage only)
    same: bool = True  # several passages: do all towns have the same aspects?
    whole: float = 0.0  # share of conversations with a description or an outline (one passage)


class Piece(NamedTuple):
    """A stretch of text and the weight of its tokens in the loss."""

    text: str
    loss: float


class Message(NamedTuple):
    """One message; the pieces joined are its content with the leading space."""

    role: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Passage:
    """A town and its passage as the prompt shows it: `shown` are the aspects still in it."""

    town: Facts
    label: int
    text: str
    shown: tuple[str, ...]


def answer(passage: Passage, key: str) -> tuple[Piece, ...]:
    """The canonical answer with citation, or the absent answer."""
    if key not in passage.shown:
        return (Piece(" " + ABSENT, VALUE_LOSS),)
    subject, article = SUBJECT[key]
    return (
        Piece(f" The {subject}", VALUE_LOSS),  # here the model says whether there is an answer
        Piece(f" of {passage.town.name} is", FRAME_LOSS),
        Piece(" " + article + passage.town.values[key], VALUE_LOSS),
        Piece(f" [{passage.label}].", FRAME_LOSS),
    )


def make_passage(rng: random.Random, town: Facts, label: int, mix: Mix) -> Passage:
    """Write a town's passage, shortened with chance `mix.short`."""
    lines = sentences(rng, town, mix.plain, mix.lean)
    shown = list(town.values)
    how = rng.choice(("words", "sentences", "both")) if rng.random() < mix.short else "no"
    if how in ("sentences", "both"):
        kept = rng.sample(shown, max(1, rng.randint(len(shown) // 3, len(shown))))
        values = [town.values[key] for key in kept]
        wanted = [at for at, line in enumerate(lines) if any(value in line for value in values)]
        lines = drop_sentences(rng, lines, wanted, 1.0)
        shown = [key for key in shown if any(town.values[key] in line for line in lines)]
    text = " ".join(lines)
    if how in ("words", "both"):
        text = drop_words(rng, text, rng.choice((0.35, rng.uniform(0.1, 0.6), 1.0)))
    return Passage(town, label, text, tuple(shown))


def make_passages(rng: random.Random, split: Split, mix: Mix, facts: int = 0) -> list[Passage]:
    """The passages of one prompt: different towns, different labels in rising order."""
    count = rng.randint(*mix.passages)
    labels = sorted(rng.sample(range(1, 10), count))
    if count > 1 or rng.random() < 0.5:
        labels = list(range(1, count + 1))
    keys: tuple[str, ...] | None = None
    passages = []
    for name, label in zip(rng.sample(town_names(split), count), labels, strict=True):
        if keys is None or not mix.same:
            keys = tuple(rng.sample(KEYS, facts or rng.randint(*mix.facts)))
        passages.append(make_passage(rng, make_town(rng, name, keys), label, mix))
    return passages


def turns(
    rng: random.Random, passages: list[Passage], mix: Mix, limit: int
) -> list[tuple[str, tuple[Piece, ...]]]:
    """Up to `limit` pairs of request and answer, no fact asked for twice."""
    pairs = [(passage, key) for passage in passages for key in passage.shown]
    rng.shuffle(pairs)
    pairs = pairs[:limit]
    for at in range(len(pairs)):
        if rng.random() < mix.absent:
            passage = rng.choice(passages)
            missing = [key for key in KEYS if key not in passage.shown]
            if missing:
                pairs[at] = (passage, rng.choice(missing))
    asked = []
    for passage, key in pairs:
        named = len(passages) == 1 and passage.town.name in passage.text
        if named and rng.random() < mix.point:
            request = point(key)
        else:
            request = question(rng, passage.town.name, key, mix.others)
        asked.append((request, answer(passage, key)))
    return asked


def titles(passage: Passage) -> str:
    """The outline of a passage: the aspects that it speaks of, numbered, in the fixed order."""
    return " ".join(f"{at}. {ASPECT[key].title}" for at, key in enumerate(passage.shown, 1))


def whole_turns(rng: random.Random, passage: Passage) -> list[tuple[str, tuple[Piece, ...]]]:
    """A description at once, or an outline followed by its points in any order."""
    name = passage.town.name
    if rng.random() < 0.5:
        pieces = [piece for key in passage.shown for piece in answer(passage, key)]
        return [(f"Describe {name}.", tuple(pieces))]
    asked = [(f"Write an outline for {name}.", (Piece(" " + titles(passage), VALUE_LOSS),))]
    if name in passage.text:
        keys = rng.sample(passage.shown, len(passage.shown))
        asked += [(point(key), answer(passage, key)) for key in keys]
    return asked


def conversation(
    rng: random.Random, split: Split, mix: Mix, limit: int = 12, facts: int = 0
) -> list[Message]:
    """A whole training conversation: system message or not, passages, several turns."""
    passages = make_passages(rng, split, mix, facts)
    if len(passages) == 1 and passages[0].shown and rng.random() < mix.whole:
        return layout(rng, passages, whole_turns(rng, passages[0]))
    return layout(rng, passages, turns(rng, passages, mix, limit))


def layout(
    rng: random.Random,
    passages: list[Passage],
    asked: list[tuple[str, tuple[Piece, ...]]],
) -> list[Message]:
    """Both layouts: passages in a message of their own, or before the first question."""
    block = "\n".join(f"[{passage.label}] {passage.text}" for passage in passages)
    messages = []
    if rng.random() < 0.7:
        messages.append(Message("system", (Piece(" " + rng.choice(SYSTEMS), 0.0),)))
    together = rng.random() < 0.5
    if not together:
        messages.append(Message("user", (Piece(" " + block, CONTEXT_LOSS),)))
    for at, (request, reply) in enumerate(asked):
        head = f" {block}\n\n" if together and at == 0 else " "
        messages.append(Message("user", (Piece(head + request, CONTEXT_LOSS),)))
        messages.append(Message("assistant", reply))
    return messages
