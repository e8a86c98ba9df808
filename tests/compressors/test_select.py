from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.compressors.select import Chosen, Novelty, choose

CASES = st.lists(
    st.tuples(
        st.integers(1, 9).map(float),
        st.sets(st.sampled_from("abcdef"), max_size=4),
        st.integers(1, 5),
    ),
    max_size=8,
)


def naive(worth: list[float], words: list[set[str]], costs: list[int], budget: float) -> Chosen:
    """Look at all pieces again before each choice."""
    novelty, left = Novelty(words), set(range(len(worth)))
    order, gains = [], []
    while left:
        gain = {at: worth[at] * novelty.of(at) for at in left}
        at = min(left, key=lambda one: (-gain[one], one))
        left.remove(at)
        if costs[at] <= budget and gain[at] > 0:
            budget -= costs[at]
            order.append(at)
            gains.append(gain[at])
            novelty.say(at)
    return Chosen(tuple(order), tuple(gains))


@given(CASES, st.integers(0, 20))
def test_the_lazy_choice_is_the_plain_one(
    case: list[tuple[float, set[str], int]], budget: int
) -> None:
    worth, words, costs = ([row[at] for row in case] for at in range(3))
    taken: list[int] = []
    cost: Callable[[int], float] = costs.__getitem__
    chosen = choose(worth, words, cost, taken.append, budget)
    assert chosen == naive(worth, words, costs, budget)
    assert taken == list(chosen.order)
    assert sum(costs[at] for at in chosen.order) <= budget


def test_novelty_falls_to_nothing_for_a_repetition() -> None:
    novelty = Novelty([{"a", "b"}, {"a", "b"}, {"a", "c"}, {"d"}, set()])
    assert [novelty.of(at) for at in range(5)] == [1.0] * 5
    novelty.say(0)
    assert novelty.of(1) == 0.0
    assert 0.9 < novelty.of(2) < 1.0
    assert novelty.of(3) == novelty.of(4) == 1.0


def test_gained_is_a_sum() -> None:
    assert Chosen((1, 0), (2.0, 0.5)).gained == pytest.approx(2.5)
