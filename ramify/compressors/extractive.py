"""Extractive compression: the sentences that matter, whole and in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ramify.compressors.centrality import centrality
from ramify.compressors.contract import Compressed, Count, Rate, target_of
from ramify.compressors.fitting import Fitting
from ramify.compressors.pieces import Piece, whole
from ramify.compressors.remembering import RememberingCompressor
from ramify.retrieval.batcher import Dense, batcher_for
from ramify.retrieval.contract import Embedder, Passages
from ramify.retrieval.relevance import LEXICAL, cosines, coverage

# How sharply worth falls with relevance. Chosen on 600 questions of SQuAD, so that 90 % of the
# worth, which is what "auto" keeps, holds the answer in about 95 % of the cases.
_SHARP_DENSE, _SHARP_WORDS = 0.07, 0.04
_OF_PASSAGE = 0.5  # how much the best sentence of a passage lifts the others


class Extractive(RememberingCompressor):
    """Keeps whole sentences under one budget for all passages, so that a good passage keeps more.

    With a question a sentence is worth `exp(relevance / T)`. Relevance is its cosine with the
    question (where the [retrieval] extra is there) and half its share of the question's words,
    its passage's title counted in, plus half of the best in its passage. Without a question it is
    worth its LexRank centrality, the first sentences of a part more: words only, so that the
    result is the same everywhere and safe to cache. What was said already is worth less.

    rate="auto" takes the smallest of 0.2, 0.33 and 0.5 that keeps 90 % of the worth, else all.
    Where not even one sentence fits, the best one is kept, and `met` and `note` say so.
    """

    name = "extractive"
    query_aware = True

    def __init__(self, *, dense: Dense = "auto", embedder: Embedder | None = None) -> None:
        """`dense`: True needs the [retrieval] extra or an `embedder` (MissingExtraError), "auto"
        does without where it is missing, False goes by words only.
        """
        super().__init__()
        self._batcher, _ = batcher_for(dense, embedder)

    async def _compress(
        self,
        source: str | Passages,
        question: str,
        rate: Rate | None,
        tokens: int | None,
        count: Count,
    ) -> Compressed:
        job = await asyncio.to_thread(Fitting, source, count, self.name)
        target = target_of(rate, tokens, job.before)
        if not job.pieces or (target is not None and target >= job.before):
            allowed = job.before if target is None else target
            return whole(source, job.before, allowed, self.name)
        worth = await self._worth(job.pieces, question)
        if target is None:
            return await asyncio.to_thread(job.auto, worth)
        return await asyncio.to_thread(job.fit, worth, target)

    async def _worth(self, pieces: Sequence[Piece], question: str) -> NDArray[np.float64]:
        texts = [piece.text for piece in pieces]
        worth: NDArray[np.float64]
        if not question:
            central = await asyncio.to_thread(centrality, texts)
            early = np.array([1 + 1 / (1 + piece.place) for piece in pieces])
            worth = (central * early).round(12)
            return worth
        titled = [f"{p.title}\n{p.text}" if p.title else p.text for p in pieces]
        lexical = await asyncio.to_thread(coverage, question, titled)
        relevance = LEXICAL * lexical + await cosines(question, texts, lexical, self._batcher)
        parts = np.array([piece.part for piece in pieces])
        best = np.full(int(parts.max()) + 1, -np.inf)
        np.maximum.at(best, parts, relevance)
        relevance = relevance + _OF_PASSAGE * best[parts]
        sharp = _SHARP_WORDS if self._batcher is None else _SHARP_DENSE
        worth = np.exp((relevance - relevance.max()) / sharp)
        return worth
