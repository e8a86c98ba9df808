"""Ratios by pairs."""

from __future__ import annotations

import random
from itertools import product
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness import Contender, Timing
from benchmarks.harness.pairs import SURE, Median, Pairs, in_pairs


def test_a_slow_minute_does_not_count() -> None:
    slow = (1.0, 1.0, 5.0, 5.0, 1.0, 1.0)
    found = Pairs(Timing(tuple(2 * s for s in slow)), Timing(slow))
    assert found.ratio == Median(2.0, 2.0, 2.0)


def test_equals_are_runs_of_one_contender_that_follow_each_other() -> None:
    ran: list[str] = []
    contenders = [Contender(name, lambda name=name: ran.append(name)) for name in ("t", "o")]
    in_pairs(*contenders, 4, warmups=0)
    assert "".join(ran) == "tootto" + "ot"
    # t0 o0 | o1 t1 | t2 o2 | o3 t3
    found = Pairs(Timing((1.0, 8.0, 2.0, 1.0)), Timing((3.0, 1.0, 5.0, 1.0)))
    assert sorted([3 / 1, 8 / 2, 5 / 1]) == [
        found.equals.low,
        found.equals.value,
        found.equals.high,
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 8, 9, 12, 13])
def test_range_holds_the_median_as_often_as_it_says(count: int) -> None:
    """Every way in which `count` values fall below or above the true median, all equally likely:
    the naive twin of the formula. One rank more left out at each end would be too many."""
    values = list(range(count))
    found = Median.of([float(v) for v in values])

    def held(skipped: int) -> float:
        inside = 0
        for above in product((0, 1), repeat=count):
            below = count - sum(above)  # of the sorted values, so many lie below the true median
            inside += skipped < below < count - skipped
        return inside / 2**count

    skipped = values.index(int(found.low))
    assert found.high == values[count - 1 - skipped]
    assert skipped == 0 or held(skipped) >= SURE
    assert skipped + 1 > (count - 1) // 2 or held(skipped + 1) < SURE


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_value_is_the_median_and_lies_within(values: list[float]) -> None:
    found = Median.of(values)
    assert found.value == median(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_more_values_are_surer() -> None:
    noise = random.Random(5)
    few, many = (Median.of([noise.gauss(1, 0.1) for _ in range(count)]) for count in (8, 200))
    assert many.high - many.low < few.high - few.low
