import numpy as np
import pytest

from ramify.retrieval import RetrievalError
from ramify.retrieval.vectors import Vectors


def unit(count: int, dim: int = 16, seed: int = 0) -> "np.typing.NDArray[np.float32]":
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dim))
    rows = centres[rng.integers(0, 20, count)] + 0.4 * rng.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_rows_are_appended_and_taken() -> None:
    vectors = Vectors(16)
    rows = unit(50)
    for at in range(0, 50, 7):
        vectors.append(rows[at : at + 7])
    assert len(vectors) == 50
    assert np.array_equal(vectors.rows, rows)
    assert np.array_equal(vectors.take([3, 1]).rows, rows[[3, 1]])
    assert len(Vectors(16).take([])) == 0
    assert vectors.scores(rows[4]).argmax() == 4
    assert vectors.scores(rows[4])[4] == 1.0
    assert vectors.near(rows[4], 3).tolist() == list(range(50))


def test_what_is_no_vector() -> None:
    vectors = Vectors(16)
    with pytest.raises(RetrievalError, match=r"\[n, 16\], got \[2, 8\]"):
        vectors.append(unit(2, 8))
    with pytest.raises(RetrievalError, match="not finite"):
        vectors.append(np.full((1, 16), np.nan, dtype=np.float32))


def test_inverted_lists_find_nearly_what_exact_search_finds() -> None:
    pytest.importorskip("faiss")
    rows, queries = unit(3000), unit(40, seed=1)
    lists = Vectors(16, faiss_from=1000)
    lists.append(rows[:2000])
    assert lists.approximate and not Vectors(16).approximate
    lists.near(queries[0], 10)
    lists.append(rows[2000:])  # rows that come later are found too
    hits = 0
    for query in queries:
        exact = set(np.argsort(-(rows @ query), kind="stable")[:10].tolist())
        hits += len(exact & set(lists.near(query, 10).tolist()))
    assert hits / 400 > 0.9
