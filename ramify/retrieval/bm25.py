"""BM25 over rows of terms, in numpy, growing and shrinking.

Score of a row for a query (the variant of Lucene): the sum over the query's terms of
`idf * tf / (tf + k1 * (1 - b + b * length / mean length))` with
`idf = ln(1 + (N - df + 0.5) / (df + 0.5))`. Robertson & Zaragoza, "The Probabilistic Relevance
Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.contract import RetrievalError

K1, B = 1.5, 0.75


class BM25:
    """An inverted index: per term its rows and counts. Removed rows keep their place, scored 0.

    Rows are numbered from 0 in the order of `add`. Not safe for threads: the owner locks.
    """

    def __init__(self, rows: Iterable[Sequence[str]] = ()) -> None:
        self.postings: dict[str, tuple[array[int], array[int]]] = {}  # term -> rows, counts
        self.lengths = array("i")  # terms per row
        self.alive = bytearray()
        self._df: Counter[str] = Counter()  # living rows per term
        self._count = 0  # living rows
        self._total = 0  # terms in living rows
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        """Rows, removed ones included."""
        return len(self.lengths)

    def add(self, row: Sequence[str]) -> int:
        """Add a row of terms; returns its number."""
        number = len(self.lengths)
        for term, count in Counter(row).items():
            rows, counts = self.postings.setdefault(term, (array("i"), array("i")))
            rows.append(number)
            counts.append(count)
            self._df[term] += 1
        self.lengths.append(len(row))
        self.alive.append(1)
        self._count += 1
        self._total += len(row)
        return number

    def remove(self, number: int, row: Sequence[str]) -> None:
        """Remove a living row; `row` are the terms that it was added with."""
        if not self.alive[number]:
            raise RetrievalError(f"row {number} was removed before.")
        self.alive[number] = 0
        self._count -= 1
        self._total -= self.lengths[number]
        self._df.subtract(set(row))

    def scores(self, query: Sequence[str]) -> NDArray[np.float64]:
        """The score of every row [len(self)]; removed rows and rows without a match get 0.

        A term that stands twice in the query counts twice.
        """
        scores = np.zeros(len(self), dtype=np.float64)
        if not self._total:
            return scores
        mean = self._total / self._count
        lengths = np.frombuffer(self.lengths, dtype=np.int32)
        for term, times in Counter(query).items():
            df = self._df[term]
            if not df:
                continue
            rows, counts = (np.frombuffer(part, dtype=np.int32) for part in self.postings[term])
            norm = K1 * (1 - B + B * lengths[rows] / mean)
            idf = math.log(1 + (self._count - df + 0.5) / (df + 0.5))
            scores[rows] += times * idf * counts / (counts + norm)
        scores[np.frombuffer(self.alive, dtype=np.uint8) == 0] = 0.0
        return scores

    def arrays(self) -> dict[str, NDArray[np.int32]]:
        """What a saved index keeps, without the terms: `terms()` in the same order."""
        sizes = [len(rows) for rows, _ in self.postings.values()]
        rows = b"".join(rows.tobytes() for rows, _ in self.postings.values())
        counts = b"".join(counts.tobytes() for _, counts in self.postings.values())
        return {
            "lengths": np.array(self.lengths, dtype=np.int32),
            "ends": np.cumsum(sizes, dtype=np.int32),
            "rows": np.frombuffer(rows, dtype=np.int32),
            "counts": np.frombuffer(counts, dtype=np.int32),
        }

    def terms(self) -> list[str]:
        return list(self.postings)

    @classmethod
    def restore(cls, terms: Sequence[str], arrays: Mapping[str, NDArray[np.int32]]) -> BM25:
        """Build from `terms()` and `arrays()` of an index without removed rows."""
        made = cls()
        made.lengths = array("i", arrays["lengths"].tobytes())
        made.alive = bytearray(b"\1" * len(made.lengths))
        made._count, made._total = len(made.lengths), int(arrays["lengths"].sum())
        start = 0
        for term, stop in zip(terms, arrays["ends"].tolist(), strict=True):
            part = slice(start, stop)
            rows = array("i", arrays["rows"][part].tobytes())
            made.postings[term] = (rows, array("i", arrays["counts"][part].tobytes()))
            made._df[term] = stop - start
            start = stop
        return made

    def check(self) -> None:
        """Raise RetrievalError where the postings, lengths and counts do not agree."""
        seen = [0] * len(self)
        for term, (rows, counts) in self.postings.items():
            living = sum(self.alive[row] for row in rows)
            if len(rows) != len(counts) or living != self._df[term]:
                raise RetrievalError(f"BM25: the postings of {term!r} do not agree.")
            if any(a >= b for a, b in pairwise(rows)):
                raise RetrievalError(f"BM25: the rows of {term!r} are out of order.")
            for row, count in zip(rows, counts, strict=True):
                seen[row] += count
        if seen != list(self.lengths) or len(self.alive) != len(self):
            raise RetrievalError("BM25: lengths and postings do not agree.")
        if self._count != sum(self.alive):
            raise RetrievalError("BM25: the number of living rows is wrong.")
