"""How much a text says about a query: by its words, and by its meaning where vectors are there.

Reranking and query-aware compression both rest on it. The weights were chosen on samples of SQuAD
and on 60 Natural Questions; `tests/retrieval/test_rerank.py` and
`tests/compressors/test_extractive.py` measure them on other samples.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.batcher import Batcher
from ramify.retrieval.terms import terms

LEXICAL = 0.5  # weight of the coverage beside a cosine
_EMBEDDED = 512  # texts per query: bounds how long one query holds the embedder


def coverage(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Per text the share, 0 to 1, of the query's terms that it has; rare terms weigh more.

    A term weighs `ln(1 + (n - df + 0.5) / (df + 0.5))` over these texts, as in BM25, but counts
    once: among sentences, saying a word twice means nothing.
    """
    wanted = sorted(set(terms(query)))
    held = [wanted and set(terms(text)).intersection(wanted) for text in texts]
    weights = {}
    for term in wanted:
        df = sum(term in row for row in held)
        weights[term] = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
    total = sum(weights.values()) or 1.0
    return np.array([sum(weights[term] for term in sorted(row)) / total for row in held])


async def cosines(
    query: str, texts: Sequence[str], likely: NDArray[np.float64], batcher: Batcher | None
) -> NDArray[np.float64]:
    """Per text its cosine with the query, to 5 decimals; zeros without a batcher.

    Of many texts only the 512 most `likely` are embedded; the others get the smallest cosine
    among these.
    """
    if batcher is None or not texts:
        return np.zeros(len(texts))
    order = np.argsort(-likely, kind="stable")[:_EMBEDDED]
    asked = batcher.submit([query], "query")
    found = batcher.submit([texts[at] for at in order], "passage")
    vector = (await asyncio.wrap_future(asked))[0]
    rows = np.round((await asyncio.wrap_future(found)) @ vector, 5).astype(np.float64)
    cosine = np.full(len(texts), rows.min())
    cosine[order] = rows
    return cosine
