"""Compression by words: function words are dropped, everything that carries a fact stays."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from ramify.compressors.contract import Compressed, Count, Rate, target_of
from ramify.compressors.pieces import put_together, take_apart, whole
from ramify.compressors.remembering import RememberingCompressor
from ramify.retrieval.contract import Passages, Span

# Dropped in this order, until the target holds. Negations and numbers are in none.
LEVELS: tuple[frozenset[str], ...] = tuple(
    frozenset(level.split())
    for level in (
        "a an the",
        "is are was were be been has have had can",
        "of that this it its there as you their",
        "in on at to for from by with and or",
    )
)
_WORD = re.compile(r"\S+")
_SENTENCE_END = (".", "!", "?", ":", '."', ".'", ".)")


class Words(RememberingCompressor):
    """Drops English function words, a class at a time: articles, auxiliary verbs, pronouns,
    prepositions and conjunctions.

    Needs no question and no model, so the result is the same for every question: safe for prefix
    caches, and worth doing once, when documents are stored. Reaches rates of about 0.7; where the
    target is lower than that, everything droppable is dropped, and `met` and `note` say so.
    rate="auto" drops all classes.
    """

    name = "words"
    query_aware = False

    async def _compress(
        self,
        source: str | Passages,
        question: str,
        rate: Rate | None,
        tokens: int | None,
        count: Count,
    ) -> Compressed:
        return await asyncio.to_thread(_compress, source, rate, tokens, count)


def _compress(
    source: str | Passages, rate: Rate | None, tokens: int | None, count: Count
) -> Compressed:
    before = count(str(source))
    target = target_of(rate, tokens, before)
    if target is None:
        return _without(source, LEVELS, before, before, count)
    made = whole(source, before, target, Words.name)
    for step in range(1, len(LEVELS) + 1):
        if made.met:
            break
        made = _without(source, LEVELS[:step], before, target, count)
    return made


def _without(
    source: str | Passages,
    levels: Sequence[frozenset[str]],
    before: int,
    target: int,
    count: Count,
) -> Compressed:
    dropped = frozenset[str]().union(*levels)
    pieces = take_apart(source, lambda text: _kept(text, dropped))
    value, kept = put_together(source, pieces)
    after = count(str(value))
    note = "" if after <= target else f"no function words left, {after} tokens remain"
    return Compressed(
        value=value,
        kept=kept,
        tokens_before=before,
        tokens_after=after,
        target=target,
        method=Words.name,
        note=note,
    )


def _kept(text: str, dropped: frozenset[str]) -> list[Span]:
    """The runs of words that stay; all of a text that would have nothing left.

    A capital letter protects a word ("The Hague", "vitamin A", "IT"), unless a sentence begins
    with it.
    """
    found = [match.span() for match in _WORD.finditer(text)]
    runs: list[Span] = []
    begins, joined = True, False
    for start, stop in found:
        word = text[start:stop]
        plain = word if not begins else word[:1].lower() + word[1:]
        begins = word.endswith(_SENTENCE_END)
        if plain in dropped:
            joined = False
        elif joined:
            runs[-1] = Span(runs[-1].start, stop)
        else:
            runs.append(Span(start, stop))
            joined = True
    return runs or ([Span(found[0][0], found[-1][1])] if found else [])
