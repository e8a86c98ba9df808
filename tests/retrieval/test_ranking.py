from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval.ranking import RRF_K, best, diversify, fuse

SCORES = st.lists(st.integers(0, 4).map(float), max_size=12)


@given(SCORES, st.integers(1, 14), st.randoms())
def test_best_is_a_sort(scores: list[float], count: int, rng: Random) -> None:
    keys = list(range(len(scores)))
    rng.shuffle(keys)
    expected = sorted(range(len(scores)), key=lambda row: (-scores[row], keys[row]))[:count]
    found = best(np.array(scores), np.arange(len(scores)), count, keys.__getitem__)
    assert found == expected


@given(st.lists(st.permutations(range(6)).map(lambda p: p[:4]), min_size=1, max_size=3))
def test_fusion_is_the_sum_of_reciprocal_ranks(rankings: list[list[int]]) -> None:
    fused = fuse(rankings, key=lambda row: -row)
    for row, score in fused.items():
        assert score == sum(1 / (RRF_K + r.index(row) + 1) for r in rankings if row in r)
    assert list(fused) == sorted(fused, key=lambda row: (-fused[row], -row))


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 5), min_size=n, max_size=n),
            st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=n, max_size=n),
            st.integers(1, n),
            st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        )
    )
)
def test_diversify_is_the_definition(case: tuple[list[int], list[list[int]], int, float]) -> None:
    raw, alike, count, weight = case
    similarity = np.array(alike) / 4
    span = max(raw) - min(raw)
    worth = [(value - min(raw)) / span if span else 1.0 for value in raw]
    chosen: list[int] = []
    while len(chosen) < count:
        gains = {
            at: weight * worth[at]
            - (1 - weight) * max((similarity[pick, at] for pick in chosen), default=0.0)
            for at in range(len(raw))
            if at not in chosen
        }
        chosen.append(min(gains, key=lambda at: (-gains[at], at)))
    assert diversify(raw, similarity, count, weight) == chosen
