"""How good a ranking is: recall, reciprocal rank, normalized discounted cumulative gain."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ramify.retrieval.contract import RetrievalError, Retriever


def recall_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """The share of the relevant ids that is among the first `k`."""
    _check(relevant, k)
    return len(set(ranking[:k]) & set(relevant)) / len(set(relevant))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """1 / rank of the first relevant id; 0 where there is none."""
    _check(relevant, 1)
    return next((1 / rank for rank, name in enumerate(ranking, 1) if name in relevant), 0.0)


def ndcg_at(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """Discounted gain of the first `k` over the best possible; `gains`: relevance by id, >= 0.

    Järvelin & Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques" (2002), with the
    linear gain and the discount 1 / log2(rank + 1).
    """
    _check([name for name, gain in gains.items() if gain > 0], k)
    ideal = sorted(gains.values(), reverse=True)[:k]
    seen = [gains.get(name, 0.0) for name in ranking[:k]]
    return _dcg(seen) / _dcg(ideal)


def _dcg(gains: Iterable[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _check(relevant: Collection[str], k: int) -> None:
    if not relevant or k < 1:
        raise RetrievalError(f"nothing is relevant, or k={k} is below 1: no measure is defined.")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over questions. `recall` and `ndcg` by k; `mrr` over the deepest k."""

    questions: int
    recall: Mapping[int, float]
    ndcg: Mapping[int, float]
    mrr: float

    def __str__(self) -> str:
        parts = [f"recall@{k} {value:.3f}" for k, value in self.recall.items()]
        return f"{self.questions} questions: {', '.join(parts)}, MRR {self.mrr:.3f}"


async def evaluate(
    index: Retriever,
    questions: Iterable[tuple[str, Collection[str]]],
    *,
    ks: Sequence[int] = (1, 5, 10),
    **options: Any,
) -> Evaluation:
    """Search for all (question, ids of the relevant documents) at once; options go to the search.

    A document counts at the rank of its first passage. Raises RetrievalError for no questions.
    """
    rows = list(questions)
    if not rows:
        raise RetrievalError("no questions to evaluate with.")
    recall, ndcg, ranks = dict.fromkeys(ks, 0.0), dict.fromkeys(ks, 0.0), 0.0
    searches = (index.search(question, max(ks), **options) for question, _ in rows)
    for (_, relevant), passages in zip(rows, await asyncio.gather(*searches), strict=True):
        ranking = list(dict.fromkeys(passage.source for passage in passages))
        gains = dict.fromkeys(relevant, 1.0)
        for k in ks:
            recall[k] += recall_at(ranking, relevant, k) / len(rows)
            ndcg[k] += ndcg_at(ranking, gains, k) / len(rows)
        ranks += reciprocal_rank(ranking, relevant) / len(rows)
    return Evaluation(len(rows), recall, ndcg, ranks)
