"""Making sentences fit a target, as the tokenizer of the target model counts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ramify.compressors.contract import RATES, Compressed, Count
from ramify.compressors.pieces import put_together, take_apart, whole
from ramify.compressors.select import Chosen, choose
from ramify.retrieval.contract import Passages
from ramify.retrieval.sentences import sentence_spans
from ramify.retrieval.terms import words

ENOUGH = 0.9  # of the worth: what "auto" keeps


class Fitting:
    """One source taken apart into sentences, with the tokens that each of them costs."""

    def __init__(self, source: str | Passages, count: Count, method: str) -> None:
        self._source, self._count, self._method = source, count, method
        self.before = count(str(source))
        self.pieces = take_apart(source, sentence_spans)
        self._words = [frozenset(words(piece.text)) for piece in self.pieces]
        plain = [count(piece.text) for piece in self.pieces]
        heads = [0] if isinstance(source, str) else [count(f"[{n}] ") for n in source.numbers]
        # a piece counted alone may cost a little more or less than inside its text
        scale = self.before / max(1, sum(plain) + sum(heads))
        self._sizes = [size * scale for size in plain]
        self._heads = [head * scale for head in heads]

    def auto(self, worth: NDArray[np.float64]) -> Compressed:
        """The smallest rate that keeps enough of the worth; everything where none does."""
        enough = ENOUGH * self._chosen(worth, float("inf")).gained
        for rate in RATES[:-1]:
            target = int(rate * self.before)
            chosen = self._chosen(worth, target)
            if chosen.order and chosen.gained >= enough:
                made = self._trimmed(list(chosen.order), target)
                if made.met:
                    return replace(made, note=f"auto chose rate {rate}")
        everything = whole(self._source, self.before, self.before, self._method)
        return replace(everything, note="auto kept everything")

    def fit(self, worth: NDArray[np.float64], target: int) -> Compressed:
        """The best sentences within a target; the best one alone where none fits."""
        chosen = self._chosen(worth, target).order
        if chosen:
            made = self._trimmed(list(chosen), target)
            if made.met:
                return made
        order = sorted(range(len(worth)), key=lambda at: (-worth[at], at))
        for at in order:  # the estimates were off: ask the tokenizer, best first
            made = self._made([at], target)
            if made.met:
                return made
        best = self._made(order[:1], target)
        note = f"the best sentence has {best.tokens_after} tokens, {target} were allowed"
        return replace(best, note=note)

    def _chosen(self, worth: NDArray[np.float64], budget: float) -> Chosen:
        opened: set[int] = set()

        def cost(at: int) -> float:
            part = self.pieces[at].part
            return self._sizes[at] + (0 if part in opened else self._heads[part])

        def take(at: int) -> None:
            opened.add(self.pieces[at].part)

        return choose(worth.tolist(), self._words, cost, take, budget)

    def _trimmed(self, chosen: list[int], target: int) -> Compressed:
        """Give up the last chosen until the tokenizer says that the target holds."""
        made = self._made(chosen, target)
        while not made.met and len(chosen) > 1:
            excess = made.tokens_after - target
            while excess > 0 and len(chosen) > 1:
                excess -= max(1, int(self._sizes[chosen.pop()]))
            made = self._made(chosen, target)
        return made

    def _made(self, chosen: list[int], target: int) -> Compressed:
        value, kept = put_together(self._source, [self.pieces[at] for at in chosen])
        return Compressed(
            value=value,
            kept=kept,
            tokens_before=self.before,
            tokens_after=self._count(str(value)),
            target=target,
            method=self._method,
        )
