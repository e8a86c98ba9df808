"""Rerankers: ordering found passages anew by a closer look than the index takes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ramify.retrieval.batcher import Dense, batcher_for
from ramify.retrieval.contract import Embedder, Passages, Reranker, RetrievalError
from ramify.retrieval.ranking import diversify
from ramify.retrieval.relevance import LEXICAL, cosines, coverage
from ramify.retrieval.sentences import sentence_spans
from ramify.retrieval.terms import terms


class SentenceReranker:
    """A passage is as relevant as its best sentence and itself together:
    `cos(passage) + coverage(passage) / 2 + max over sentences of (cos + coverage / 2)`.

    An index embeds a passage as a whole, and one telling sentence drowns in it. It pays after a
    hybrid or sparse search; it did not beat purely dense search where that is strong already
    (Natural Questions), and without the [retrieval] extra, when the cosines are left out, it did
    not beat BM25. Deterministic; ties keep their order.
    """

    def __init__(
        self,
        *,
        dense: Dense = "auto",
        embedder: Embedder | None = None,
        mmr: float | None = None,
    ) -> None:
        """`dense` and `embedder` as for an Index; `mmr` from 0 to 1 weighs relevance against
        diversity (None: relevance only).
        """
        if mmr is not None and not 0 <= mmr <= 1:
            raise RetrievalError(f"mmr={mmr!r} is not allowed.", hint="It must be from 0 to 1.")
        self.name = "sentences"
        self._batcher, _ = batcher_for(dense, embedder)
        self._mmr = mmr

    async def rank(self, passages: Passages, query: str, k: int | None = None) -> Passages:
        """The best `k` (None: all), best first, numbered anew from 1, with their new scores."""
        query = str(query)
        if not query.strip():
            raise RetrievalError("the query is empty.")
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
            raise RetrievalError(f"k={k!r} is not allowed.", hint="It must be an int from 1 up.")
        if not passages:
            return passages
        wholes = [f"{p.title}\n{p.text}" if p.title else p.text for p in passages]
        pieces, owners = [], []
        for at, passage in enumerate(passages):
            found = [span.of(passage.text) for span in sentence_spans(passage.text)] or [""]
            pieces += found
            owners += [at] * len(found)
        titled = [f"{passages[at].title}\n{p}" for at, p in zip(owners, pieces, strict=True)]
        likely = await asyncio.to_thread(coverage, query, titled)
        common = await asyncio.to_thread(coverage, query, wholes)
        sentence, whole = await asyncio.gather(
            cosines(query, pieces, likely, self._batcher),
            cosines(query, wholes, common, self._batcher),
        )
        top = np.full(len(passages), -np.inf)
        np.maximum.at(top, owners, sentence + LEXICAL * likely)
        scores = np.round(whole + LEXICAL * common + top, 5)
        order = list(np.argsort(-scores, kind="stable"))
        if self._mmr is not None:
            alike = _jaccard([wholes[at] for at in order])
            spread = diversify([scores[at] for at in order], alike, len(order), self._mmr)
            order = [order[at] for at in spread]
        best = [replace(passages[int(at)], score=float(scores[at])) for at in order[:k]]
        return Passages.of(best)


def _jaccard(texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    sets = [frozenset(terms(text)) for text in texts]
    rows = [[len(a & b) / len(a | b) if a | b else 0.0 for b in sets] for a in sets]
    return np.array(rows)


@lru_cache(maxsize=1)
def default_reranker() -> SentenceReranker:
    """The one reranker that is meant where none is named."""
    return SentenceReranker()


def get_reranker(reranker: str | Reranker | None = None) -> Reranker:
    """A reranker by name ("sentences"; None is the same) or as given. RetrievalError."""
    if reranker is None or reranker == "sentences":
        return default_reranker()
    if isinstance(reranker, str):
        raise RetrievalError(f"unknown reranker {reranker!r}.", hint="Known: sentences.")
    if not isinstance(reranker, Reranker):
        raise RetrievalError(
            f"a {type(reranker).__name__} is not a reranker.",
            hint="It needs a name and `async rank(passages, query, k)`.",
        )
    return reranker
