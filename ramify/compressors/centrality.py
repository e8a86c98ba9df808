"""How central a sentence is among others: LexRank, with no model and no question.

Erkan & Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization" (2004),
the continuous form: PageRank over the cosines of tf-idf vectors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.terms import terms

_DAMPING = 0.85
_TOLERANCE = 1e-10
_ROUNDS = 100


def centrality(texts: Sequence[str]) -> NDArray[np.float64]:
    """A share for every text [len(texts)], together 1. Sums are made one after another, never
    by BLAS, so that the result does not depend on the number of threads.

    The graph's matrix `S S^T - I` (S: unit rows of tf-idf) is never made: a product with it is
    two products with the sparse S, so time and memory grow with the words, not with their square.
    """
    count = len(texts)
    if not count:
        return np.zeros(0)
    rows, columns, values, width = _tf_idf(texts)
    own = np.bincount(rows, values * values, count)  # 1, or 0 for a text without terms

    def similar(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        by_term = np.bincount(columns, values * vector[rows], width)
        product = np.bincount(rows, values * by_term[columns], count)
        return np.asarray(np.maximum(product - own * vector, 0.0), dtype=np.float64)

    degree = similar(np.ones(count))
    linked = degree > 1e-9
    rank = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        flow = np.divide(rank, degree, out=np.zeros(count), where=linked)
        spread = float(rank[~linked].sum()) / count
        fresh = (1 - _DAMPING) / count + _DAMPING * (similar(flow) + spread)
        moved = float(np.abs(fresh - rank).sum())
        rank = fresh
        if moved < _TOLERANCE:
            break
    shares: NDArray[np.float64] = rank / rank.sum()
    return shares


def _tf_idf(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int]:
    """Unit rows of tf-idf as (row, column, value) triples, and the number of columns."""
    counts = [Counter(terms(text)) for text in texts]
    df = Counter(term for row in counts for term in row)
    column = {term: at for at, term in enumerate(df)}
    rows, columns, values = [], [], []
    for at, row in enumerate(counts):
        weights = [n * math.log(1 + len(texts) / df[term]) for term, n in row.items()]
        length = math.sqrt(sum(weight * weight for weight in weights))
        rows += [at] * len(row)
        columns += [column[term] for term in row]
        values += [weight / length for weight in weights]
    as_ints = (np.array(part, dtype=np.int64) for part in (rows, columns))
    row_of, column_of = as_ints
    return row_of, column_of, np.array(values, dtype=np.float64), len(column)
