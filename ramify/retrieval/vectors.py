"""Dense vectors, row by row, and the rows nearest to a query.

Exact search is one matrix product. Measured with 384 dimensions on two cores: 1 ms over 20,000
rows, 23 ms over 200,000, both faster than faiss' exact index; so faiss is used only where there
are many rows, and then with inverted lists, which are approximate and 100 times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.contract import RetrievalError

FAISS_FROM = 200_000  # rows
_TRAINED_ON = 64  # vectors per inverted list
_PROBED = 1 / 16  # share of the lists that a query looks into


class Vectors:
    """Rows of length one, float32, appended and never changed. The owner locks."""

    def __init__(self, dim: int, *, faiss_from: int = FAISS_FROM) -> None:
        self.dim = dim
        self._store = np.zeros((0, dim), dtype=np.float32)  # grows by doubling
        self._count = 0
        self._faiss_from = faiss_from
        self._lists: Any = None  # the faiss index over the first `_lists.ntotal` rows

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> NDArray[np.float32]:
        """All rows [len(self), dim], not to be changed."""
        return self._store[: self._count]

    @property
    def approximate(self) -> bool:
        """Whether an unfiltered search looks into inverted lists only."""
        return self._count >= self._faiss_from and find_spec("faiss") is not None

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add rows [n, dim]; RetrievalError where an embedder gave something else."""
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise RetrievalError(f"vectors must be [n, {self.dim}], got {list(rows.shape)}.")
        if not np.isfinite(rows).all():
            raise RetrievalError("the embedder gave vectors that are not finite.")
        need = self._count + len(rows)
        if need > len(self._store):
            grown = np.zeros((max(need, 2 * self._count), self.dim), dtype=np.float32)
            grown[: self._count] = self.rows
            self._store = grown
        self._store[self._count : need] = rows
        self._count = need

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float64]:
        """Cosine of every row with a query [dim], to 5 decimals.

        The embedding of a text depends on its batch in the seventh decimal; rounded, equal texts
        tie and the order of results does not depend on what was embedded beside the query.
        """
        return (self.rows @ query).astype(np.float64).round(5)

    def near(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Rows worth scoring for the `count` nearest: all of them, or those of the lists."""
        if not self.approximate:
            return np.arange(self._count, dtype=np.int64)
        if self._lists is None or 2 * self._lists.ntotal < self._count:
            self._lists = self._build()
        if self._lists.ntotal < self._count:
            self._lists.add(self.rows[self._lists.ntotal :])
        _, found = self._lists.search(query[None, :], min(count, self._count))
        rows: NDArray[np.int64] = found[0]
        return rows[rows >= 0]

    def take(self, keep: Sequence[int]) -> Vectors:
        """The same store with the rows `keep` only, in that order."""
        made = Vectors(self.dim, faiss_from=self._faiss_from)
        made.append(self.rows[np.asarray(keep, dtype=np.int64)])
        return made

    def _build(self) -> Any:
        import faiss

        lists = max(1, int(4 * self._count**0.5))
        built: Any = faiss.index_factory(self.dim, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        step = max(1, self._count // (lists * _TRAINED_ON))
        built.cp.min_points_per_centroid = 1  # small lists are no reason for a warning
        built.train(self.rows[::step])
        built.nprobe = max(8, round(lists * _PROBED))
        return built
