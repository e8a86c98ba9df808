"""Orders of eviction: who goes first, and what they know of the past."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix.cache import Cache
from ramify.backend.radix.eviction import (
    CostOrder,
    HeapOrder,
    Order,
    evictable,
    least_frequently_used,
    least_recently_used,
)
from ramify.backend.radix.history import HOT, History
from ramify.backend.radix.node import Node
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.worth import WorthOrder
from tests.backend.radix.test_cache import Ask, send

ORDERS = {
    "recent": lambda slots: HeapOrder(least_recently_used),
    "frequent": lambda slots: HeapOrder(least_frequently_used),
    "cost": lambda slots: CostOrder(),
    "worth": WorthOrder,
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_evicts_all_of_it_and_nothing_twice(order: str) -> None:
    cache = Cache(200, order=ORDERS[order](200))
    rng = np.random.default_rng(0)
    trunks = [rng.integers(0, 9, 60) for _ in range(6)]
    for i in range(120):
        trunk = trunks[rng.integers(6) if i % 3 else 0]
        send(cache, np.concatenate((trunk[: rng.integers(1, 60)], rng.integers(0, 9, 8))))
        if i % 17 == 0:
            cache.tree.evict(int(rng.integers(1, 120)))
            cache.check([])
    assert cache.tree.evicted > 1_000
    cache.clear()
    assert cache.slots.used == 0


def test_what_is_used_again_and_again_outlives_what_is_used_once() -> None:
    """A prefix that comes every few prompts, among prompts that never come again and turn the
    pool over in between: least recent use loses it each time, the default order keeps it."""
    hits = {}
    for name in ("recent", "worth"):
        order: Order = ORDERS[name](640)
        cache = Cache(640, order=order)
        shared = np.arange(100, 164)
        hits[name] = 0
        for i in range(200):
            send(cache, np.arange(1_000 * (i + 1), 1_000 * (i + 1) + 64))
            if i % 12 == 0:
                hits[name] += send(cache, np.concatenate((shared, [5_000_000 + i])))
    assert hits["recent"] == 0
    assert hits["worth"] >= 10 * 64


@pytest.mark.parametrize("count", [8, 14, 30])
def test_a_circle_that_does_not_fit_is_kept_in_part(count: int) -> None:
    """Prompts come in turns. Of more than fit, least recent use evicts each before its turn."""
    hits = {}
    for name in ("recent", "worth"):
        cache = Cache(640, order=ORDERS[name](640))
        hits[name] = 0
        for turn in range(400):
            begin = 1_000 * (turn % count)
            hits[name] += send(cache, np.arange(begin, begin + 64))
    if count * 64 <= 640:
        assert hits["worth"] == hits["recent"] == (400 - count) * 64
    else:
        assert hits["recent"] == 0
        assert hits["worth"] >= 400 * 64 * 640 / (64 * count) / 3  # a third of what can be kept


class SlowWorth(WorthOrder):
    """The naive twin: looks at every leaf."""

    def pop(self, now: int) -> Node | None:
        if now >= self._due:
            self._weigh(now)
        found = []
        for kind, leaves in enumerate(self._leaves):
            for last_use, number, node in leaves:
                if node.queued == number and evictable(node):
                    age = sum(edge <= now - last_use for edge in self._edges) - 1
                    found.append((self._worth[kind][age], kind, -age, last_use, number, node))
        if not found:
            return None
        node = min(found, key=lambda each: each[:5])[-1]
        node.queued = 0
        return node


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.sampled_from([100, 300, 900]))
def test_the_least_worth_is_found_without_looking_at_all(seed: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    trunks = [rng.integers(0, 9, 60) for _ in range(12)]
    fast, slow = Cache(slots, order=WorthOrder(slots)), Cache(slots, order=SlowWorth(slots))
    for i in range(150):
        trunk = trunks[rng.integers(12) if i % 3 else rng.integers(2)]
        tokens = np.concatenate((trunk[: rng.integers(1, 60)], rng.integers(0, 9, 8)))
        assert send(fast, tokens) == send(slow, tokens)
        assert [fast.tree.lookup("", t) for t in trunks] == [
            slow.tree.lookup("", t) for t in trunks
        ]
    assert fast.tree.evicted == slow.tree.evicted > 0


def test_frequent_use_is_counted_and_cost_grows_with_the_position() -> None:
    for order in (HeapOrder(least_frequently_used), CostOrder(balance=10)):
        cache = Cache(40, order=order)
        twice, once = np.arange(10), np.arange(20, 30)
        for tokens in (twice, twice, once):
            send(cache, tokens)
        cache.tree.evict(5)
        assert cache.tree.lookup("", twice) == 10 and cache.tree.lookup("", once) == 5
    late = Cache(100, order=CostOrder(balance=10))
    send(late, np.arange(40))
    send(late, np.arange(100, 110))
    assert late.tree.evict(10) == 10
    assert late.tree.lookup("", np.arange(40)) == 40  # the short one was cheaper to compute


def test_history_knows_what_was_evicted_run_by_run() -> None:
    history = History(6_400)
    first, second = np.arange(320), np.arange(320)
    second[128:] += 1_000
    assert history.saw("", first, 0) == []
    assert history.saw("", first, 10) == [(320, 1)]  # so soon after, it is the same visit
    assert history.saw("", second, 1_000) == [(128, 2)]
    assert history.saw("", first, 2_000) == [(128, 3), (320, 2)]
    assert history.saw("other", first, 2_000) == []
    for i in range(10):
        runs = history.saw("", first[:64], 3_000 + 200 * i)
    assert runs == [(64, HOT)]


def test_history_learns_how_long_it_takes_and_stays_bounded() -> None:
    history = History(3_200)
    rng = np.random.default_rng(1)
    prompts: list[np.ndarray] = []
    for i in range(400):
        prompts.append(rng.integers(0, 50_000, 320))
        history.saw("", prompts[-1], i * 320)
        if i >= 20:
            history.saw("", prompts[i - 20], i * 320)
    assert 0.7 * 20 * 320 < history.usual() < 1.4 * 20 * 320
    assert len(history._row) <= 16 * 3_200 / 32
    assert len(history._row) + len(history._free) == len(history._uses)


def test_history_of_prompts_whose_beginnings_were_forgotten() -> None:
    """Less room than one prompt needs at times, so that forgetting cuts through prompts."""
    history = History(200)
    rng = np.random.default_rng(3)
    prompts = [rng.integers(0, 9, 32 * int(n)) for n in rng.integers(1, 45, 12)]
    for now in range(600):
        history.saw("", prompts[rng.integers(12)], 40 * now)
        history.check()


def test_the_worth_order_forgets_what_is_not_there_any_more() -> None:
    cache = Cache(5_000, order=WorthOrder(5_000))
    for i in range(3_000):
        run_once = np.arange(i * 10, i * 10 + 4)
        size = len(run_once)
        sequence = Sequence.of(Ask(), run_once, limit=size, prompt=size, wanted=size)
        assert cache.admit(sequence)
        cache.retire(sequence, keep=False)
    order = cache.tree._order  # type: ignore[attr-defined]
    assert sum(map(len, order._leaves)) <= 64
