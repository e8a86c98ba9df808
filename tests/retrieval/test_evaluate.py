import math

import pytest

from ramify.retrieval import Index, RetrievalError
from ramify.retrieval.evaluate import evaluate, ndcg_at, recall_at, reciprocal_rank


def test_measures_by_hand() -> None:
    ranking = ["a", "b", "c", "d"]
    assert recall_at(ranking, {"b", "z"}, 2) == 0.5
    assert recall_at(ranking, {"d"}, 3) == 0.0
    assert reciprocal_rank(ranking, {"c", "d"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, {"z"}) == 0.0
    gains = {"a": 1.0, "c": 3.0}
    ideal = 3.0 + 1.0 / math.log2(3)
    assert ndcg_at(ranking, gains, 4) == pytest.approx((1.0 + 3.0 / math.log2(4)) / ideal)
    assert ndcg_at(["c", "a"], gains, 4) == pytest.approx(1.0)


def test_nothing_to_measure_is_an_error() -> None:
    for measure in (
        lambda: recall_at(["a"], set(), 1),
        lambda: ndcg_at(["a"], {"a": 0.0}, 1),
        lambda: recall_at(["a"], {"a"}, 0),
    ):
        with pytest.raises(RetrievalError, match="no measure"):
            measure()


async def test_an_index_is_measured_by_documents() -> None:
    index = Index.of(
        [("x", "The red harbour. " * 40), ("y", "The blue mill. " * 40), ("z", "A green hill.")],
        dense=False,
    )
    asked = [("red harbour", ["x"]), ("blue mill", ["y"]), ("the mill", ["z"])]
    found = await evaluate(index, asked, ks=(1, 2))
    assert found.questions == 3
    assert found.recall[1] == pytest.approx(2 / 3)
    assert found.mrr == pytest.approx(2 / 3)
    assert "recall@1 0.667" in str(found)
    with pytest.raises(RetrievalError, match="no questions"):
        await evaluate(index, [])
