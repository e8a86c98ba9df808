"""The slot allocator against a plain set."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.backend.radix.slots import SlotAllocator, runs_of


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_it_hands_out_what_a_set_would(steps: list[tuple[bool, int]]) -> None:
    slots = SlotAllocator(64)
    free, held = set(range(64)), []
    for take, n in steps:
        if take and n <= len(free):
            got = slots.take(n, near=n)
            assert len(set(got.tolist())) == n and free.issuperset(got.tolist())
            free -= set(got.tolist())
            held.append(got)
        elif take:
            with pytest.raises(ValueError, match=f"{len(free)} free"):
                slots.take(n)
        elif held:
            back = held.pop(n % len(held))
            split = n % (len(back) + 1)  # a part of a run comes back too, in any order
            slots.give(back[:split][::-1].copy())
            free |= set(back[:split].tolist())
            if split < len(back):
                held.append(back[split:])
        slots.check()
        assert slots.free == len(free)


def test_neighbours_merge_and_the_best_fit_is_taken() -> None:
    slots = SlotAllocator(30)
    a, b, c, d = (slots.take(n) for n in (5, 10, 5, 10))
    slots.give(b)
    slots.give(d)
    assert slots.take(10, near=20).tolist() == d.tolist()
    slots.give(a)
    assert runs_of(slots.take(15)) == [(0, 15)]
    assert slots.free == 0 and len(c) == 5


def test_a_slot_cannot_come_back_twice() -> None:
    slots = SlotAllocator(4)
    got = slots.take(2)
    slots.give(got)
    with pytest.raises(ValueError, match="free already"):
        slots.give(got)


@given(st.lists(st.integers(0, 40), unique=True))
def test_runs_are_the_numbers_in_order(numbers: list[int]) -> None:
    runs = runs_of(np.array(numbers, np.int64))
    assert [i for start, stop in runs for i in range(start, stop)] == numbers
    assert all(a[1] != b[0] for a, b in pairwise(runs))
