"""From scores to an order: best rows, reciprocal rank fusion, maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RRF_K = 60


def best(
    scores: NDArray[np.float64],
    rows: NDArray[np.int64],
    count: int,
    key: Callable[[int], object],
) -> list[int]:
    """The `count` rows of largest score, best first; equal scores in the order of `key(row)`.

    `scores[i]` belongs to `rows[i]`. The key must not depend on the rows' numbers where these
    depend on history.
    """
    if count < len(rows):
        edge = np.partition(scores, len(scores) - count)[len(scores) - count]
        chosen = scores >= edge  # with all that tie at the edge
        scores, rows = scores[chosen], rows[chosen]
    pairs = zip(scores.tolist(), rows.tolist(), strict=True)
    ordered = sorted(pairs, key=lambda pair: (-pair[0], key(pair[1])))
    return [row for _, row in ordered[:count]]


def fuse(rankings: Sequence[Sequence[int]], key: Callable[[int], object]) -> dict[int, float]:
    """Reciprocal rank fusion: row -> sum of 1 / (60 + rank), best first.

    Cormack, Clarke & Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods" (2009).
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, 0.0) + 1 / (RRF_K + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], key(item[0]))))


def diversify(
    relevance: Sequence[float], similarity: NDArray[np.float64], count: int, weight: float
) -> list[int]:
    """Maximal marginal relevance: positions chosen one after another, each the one of largest
    `weight * relevance - (1 - weight) * similarity to the nearest chosen`, earlier ones first.

    `relevance` is scaled to 0..1 here; `similarity` is [n, n]. Carbonell & Goldstein, "The Use of
    MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries" (1998).
    """
    worth = np.asarray(relevance, dtype=np.float64)
    span = float(np.ptp(worth)) if len(worth) else 0.0
    worth = (worth - worth.min()) / span if span else np.ones_like(worth)
    nearest = np.zeros(len(worth))
    chosen: list[int] = []
    while len(chosen) < min(count, len(worth)):
        gain = weight * worth - (1 - weight) * nearest
        gain[chosen] = -np.inf
        pick = int(np.argmax(gain))
        chosen.append(pick)
        nearest = np.maximum(nearest, similarity[pick])
    return chosen
