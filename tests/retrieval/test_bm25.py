import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import RetrievalError
from ramify.retrieval.bm25 import BM25, K1, B

ROWS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), max_size=8)
QUERY = st.lists(st.sampled_from("abcdefxy"), max_size=5)


def naive(rows: list[list[str] | None], query: list[str]) -> list[float]:
    """The formula, row by row."""
    living = [row for row in rows if row is not None]
    if not any(living):
        return [0.0] * len(rows)
    mean = sum(map(len, living)) / len(living)
    scores = []
    for row in rows:
        score = 0.0
        for term in query:
            df = sum(term in other for other in living)
            if row is None or term not in row:
                continue
            idf = math.log(1 + (len(living) - df + 0.5) / (df + 0.5))
            tf = Counter(row)[term]
            score += idf * tf / (tf + K1 * (1 - B + B * len(row) / mean))
        scores.append(score)
    return scores


@given(ROWS, QUERY, st.sets(st.integers(0, 7)))
def test_scores_are_those_of_the_formula(
    rows: list[list[str]], query: list[str], gone: set[int]
) -> None:
    index = BM25(rows)
    left: list[list[str] | None] = list(rows)
    for row in sorted(gone & set(range(len(rows)))):
        index.remove(row, rows[row])
        left[row] = None
    index.check()
    assert index.scores(query) == pytest.approx(naive(left, query))


@given(ROWS, QUERY)
def test_restored_scores_are_equal(rows: list[list[str]], query: list[str]) -> None:
    index = BM25(rows)
    again = BM25.restore(index.terms(), index.arrays())
    again.check()
    assert again.scores(query).tolist() == index.scores(query).tolist()
    number = again.add(["a", "b"])
    assert number == len(rows)
    again.check()


def test_the_peer_agrees() -> None:
    bm25s = pytest.importorskip("bm25s")
    rng = np.random.default_rng(0)
    rows = [[f"w{n}" for n in rng.integers(0, 40, rng.integers(1, 30))] for _ in range(50)]
    peer = bm25s.BM25(method="lucene", k1=K1, b=B)
    peer.index(rows, show_progress=False)
    for row in rows[:10]:
        query = row[:4]
        expected = peer.get_scores(query)
        assert BM25(rows).scores(query) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_broken_invariants_are_seen() -> None:
    index = BM25([["a", "b"], ["a"]])
    with pytest.raises(RetrievalError, match="removed before"):
        index.remove(1, ["a"])
        index.remove(1, ["a"])
    index.postings["a"][1][0] = 5
    with pytest.raises(RetrievalError, match="do not agree"):
        index.check()
