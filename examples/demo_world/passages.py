"""Passages of training data: whose they are, how they are written, and their tokens' losses."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from examples.demo_world.phrasing import drop_sentences, drop_words, sentences
from examples.demo_world.town import KEYS, Facts, Split, make_town, town_names

CONTEXT_LOSS, NAME_LOSS = 0.1, 0.5
CONTEXT_SHARE = 0.2  # of the context's tokens: their softmax costs more time than it teaches


@dataclass(frozen=True)
class Mix:
    """What scenes of one kind look like. Shares are chances between 0 and 1."""

    name: str
    facts: tuple[int, int] = (3, 6)  # facts per passage, both ends included
    passages: tuple[int, int] = (1, 1)
    plain: float = 0.25  # share of sentences in the answer's own wording
    lean: float = 0.25  # share of the others that say "it" or "the town"
    short: float = 0.0  # share of passages shortened by words, by sentences or by both
    absent: float = 0.0  # share of questions for what the passages do not say
    others: float = 0.5  # share of questions not in the canonical wording
    point: float = 0.3  # share of requests that name a point instead (one passage only)
    asks: int = 10  # questions of one prompt
    same: bool = True  # several passages: do all towns have the same aspects?


class Piece(NamedTuple):
    """A stretch of text and the weight of its tokens in the loss; or one special token. `label`:
    of the passage that it belongs to, or is about as its words tell; 0 for none. `told`: in a
    passage the aspect that has just been told, in an answer all aspects of its passage (see
    `aspects`); 0 for none."""

    text: str
    loss: float
    special: bool = False
    label: int = 0
    told: int = 0


def aspects(keys: Iterable[str]) -> int:
    """A set of aspects as bits, the first of KEYS the lowest."""
    return sum(1 << KEYS.index(key) for key in keys)


@dataclass(frozen=True)
class Passage:
    """A town and its passage as the prompt shows it: `shown` are the aspects still in it."""

    town: Facts
    label: int
    text: str
    shown: tuple[str, ...]

    def pieces(self, start: str) -> list[Piece]:
        """Behind `start` and the label, with a loss on each name of the town but the first: to
        say it again, one has to know whose passage this is."""
        name, label = f" {self.town.name}", self.label
        parts = [Piece(f"{start}[{label}]", CONTEXT_LOSS)]
        named = False
        for text, told in self.stretches():
            first, *rest = text.split(name)
            parts.append(Piece(first, CONTEXT_LOSS, label=label, told=told))
            for after in rest:
                loss = NAME_LOSS if named else CONTEXT_LOSS
                parts.append(Piece(name, loss, label=label, told=told))
                parts.append(Piece(after, CONTEXT_LOSS, label=label, told=told))
                named = True
        return [part for part in parts if part.text]

    def stretches(self) -> list[tuple[str, int]]:
        """The text cut where a value begins and where its sentence ends, with the aspect told."""
        text = f" {self.text}"
        begins = {text.find(f" {self.town.values[key]}"): aspects([key]) for key in self.shown}
        parts, end = [], 0
        for begin in sorted(at for at in begins if at >= 0):
            if begin < end:
                continue
            stop = text.find(".", begin) + 1 or len(text)
            parts += [(text[end:begin], 0), (text[begin:stop], begins[begin])]
            end = stop
        return [*parts, (text[end:], 0)]


def make_passage(rng: random.Random, town: Facts, label: int, mix: Mix) -> Passage:
    """Write a town's passage, shortened with chance `mix.short`."""
    lines = sentences(rng, town, mix.plain, mix.lean)
    shown = list(town.values)
    how = rng.choice(("words", "words", "sentences", "both")) if rng.random() < mix.short else "no"
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


def make_passages(rng: random.Random, split: Split, mix: Mix) -> list[Passage]:
    """The passages of one prompt: different towns, different labels in rising order."""
    count = rng.randint(*mix.passages)
    labels = sorted(rng.sample(range(1, 10), count))
    if count > 1 or rng.random() < 0.5:
        labels = list(range(1, count + 1))
    keys: tuple[str, ...] | None = None
    passages = []
    for name, label in zip(rng.sample(town_names(split), count), labels, strict=True):
        if keys is None or not mix.same:
            keys = tuple(rng.sample(KEYS, rng.randint(*mix.facts)))
        passages.append(make_passage(rng, make_town(rng, name, keys), label, mix))
    return passages
