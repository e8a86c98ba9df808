"""One search: its options, checked, and how a table answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.contract import Passages, RetrievalError
from ramify.retrieval.document import Document
from ramify.retrieval.filters import compile_filter
from ramify.retrieval.ranking import best, diversify, fuse
from ramify.retrieval.table import Table
from ramify.retrieval.terms import terms

Mode = Literal["hybrid", "sparse", "dense"]
OPTIONS = ("mode", "where", "mmr")
_DEPTH = 100  # rows of each ranking that are fused or diversified, at least


@dataclass(frozen=True, slots=True)
class Query:
    """A checked search. `mmr` is the weight of relevance against diversity (None: relevance only).

    `test` decides which documents may be found (None: all).
    """

    text: str
    k: int
    mode: Mode
    test: Callable[[Document], bool] | None = None
    mmr: float | None = None

    @classmethod
    def of(cls, text: object, k: int, dense: bool, options: Mapping[str, Any]) -> Query:
        """Check what a program asks for; `dense`: the index has vectors. RetrievalError."""
        text = str(text)
        if not text.strip():
            raise RetrievalError("the query is empty.")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise RetrievalError(f"k={k!r} is not allowed.", hint="It must be an int from 1 up.")
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            near = get_close_matches(unknown[0], OPTIONS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(OPTIONS)}."
            raise RetrievalError(f"unknown search option {unknown[0]!r}.", hint=hint)
        mode: Any = options.get("mode") or ("hybrid" if dense else "sparse")
        if mode not in get_args(Mode):
            raise RetrievalError(
                f"unknown mode {mode!r}.", hint=f"Known: {', '.join(get_args(Mode))}."
            )
        if mode != "sparse" and not dense:
            raise RetrievalError(
                f"mode={mode!r} needs dense vectors, and this index has none.",
                hint="index.describe() says why.",
            )
        where, mmr = options.get("where"), options.get("mmr")
        if mmr is not None and not 0 <= mmr <= 1:
            raise RetrievalError(f"mmr={mmr!r} is not allowed.", hint="It must be from 0 to 1.")
        return cls(text, k, mode, None if where is None else compile_filter(where), mmr)


def answer(query: Query, table: Table, vector: NDArray[np.float32] | None) -> Passages:
    """The best passages of a table; `vector` [dim] is the embedded query, unless mode is sparse."""
    allowed = table.allowed(query.test)
    depth = max(_DEPTH, 2 * query.k)

    def key(row: int) -> tuple[str, int]:
        return table.chunk(row).key

    found: list[dict[int, float]] = []
    if query.mode != "dense":
        scores = table.bm25.scores(terms(query.text))
        rows = np.flatnonzero(allowed & (scores > 0))
        found.append({row: float(scores[row]) for row in best(scores[rows], rows, depth, key)})
    if query.mode != "sparse":
        assert vector is not None and table.vectors is not None, "mode was checked"
        cosines = table.vectors.scores(vector) if len(table) else np.zeros(0)
        rows = np.flatnonzero(allowed)
        if query.test is None and table.vectors.approximate:
            near = table.vectors.near(vector, 2 * depth)
            rows = near[allowed[near]]
        found.append({row: float(cosines[row]) for row in best(cosines[rows], rows, depth, key)})
    ranked = found[0] if len(found) == 1 else fuse([list(scores) for scores in found], key)
    rows_found = list(ranked)
    if query.mmr is not None:
        relevance = [ranked[row] for row in rows_found]
        alike = _similarity(table, rows_found)
        rows_found = [rows_found[at] for at in diversify(relevance, alike, query.k, query.mmr)]
    top = rows_found[: query.k]
    return Passages(
        table.chunk(row).passage(number, ranked[row]) for number, row in enumerate(top, 1)
    )


def _similarity(table: Table, rows: list[int]) -> NDArray[np.float64]:
    """How alike chunks are [n, n]: cosine of vectors, else the share of common terms (Jaccard)."""
    if table.vectors is not None:
        vectors = table.vectors.rows[rows]
        return (vectors @ vectors.T).astype(np.float64).round(5)
    sets = [frozenset(terms(table.chunk(row).text)) for row in rows]
    return np.array(
        [[len(a & b) / len(a | b) if a | b else 0.0 for b in sets] for a in sets]
    ).reshape(len(rows), len(rows))
