"""What plans promise: who is promised a use outlives who is not, and without promises nothing is
different."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.contract import Promise, ScoreRequest, TokenPrompt
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.eviction import HeapOrder, Order, evictable, least_recently_used
from ramify.backend.radix.jobs import Scoring
from ramify.backend.radix.node import Node, path_of
from ramify.backend.radix.promises import PromiseOrder
from ramify.backend.radix.worth import WorthOrder
from ramify.errors import BackendError
from tests.backend.radix.harness import Sunk, engine_for, generation, greedy, run
from tests.backend.radix.test_cache import send

PASTS: dict[str, Any] = {
    "recent": lambda slots: HeapOrder(least_recently_used), "worth": WorthOrder,
}  # fmt: skip


def leaves(tree: Any) -> list[Node]:
    """The leaves that could be evicted."""
    found, todo = [], list(tree._roots.values())
    while todo:
        node = todo.pop()
        todo += node.children.values()
        if node.parent is not None and evictable(node):
            found.append(node)
    return found


@pytest.mark.parametrize("past", PASTS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_promise_is_never_broken_before_the_unpromised_are_gone(
    past: str, data: st.DataObject
) -> None:
    """Of the leaves, the one that goes has no promise if any has none; else none of the others is
    read later."""
    slots, lapse = 160, data.draw(st.sampled_from([100, 400, 100_000]))
    cache = Cache(slots, order=PromiseOrder(PASTS[past](slots), lapse))
    tree: Any = cache.tree
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    trunks = [rng.integers(0, 9, 60) for _ in range(4)]
    gone = 0

    def watch(node: Node) -> None:
        nonlocal gone
        gone += 1
        others = leaves(tree)
        if node.promised:
            assert all(other.promised for other in others), "one without a promise was there"
            assert max(other.promised for other in others) == node.promised
            assert tree._tick - node.promised_at < lapse + lapse // 8 + 1, "it had lapsed"

    tree.spill = watch
    for _ in range(60):
        tokens = np.concatenate((trunks[rng.integers(4)][: rng.integers(1, 60)],
                                 rng.integers(0, 9, rng.integers(1, 12))))  # fmt: skip
        steps = int(rng.integers(0, 4))
        promise = Promise(int(rng.integers(0, 80)), steps) if steps else None
        send(cache, tokens, promise)
        if promise is not None:
            path = path_of(leaf := tree.lock("", tokens))
            tree.release(leaf)
            held = [node for node in path[1:] if node.start < promise.tokens]
            assert all(0 < node.promised <= steps for node in held)
    assert gone > 10
    cache.clear()
    assert cache.slots.used == 0


@pytest.mark.parametrize("past", PASTS)
def test_without_promises_it_is_the_other_order(past: str) -> None:
    rng = np.random.default_rng(5)
    trunks = [rng.integers(0, 9, 60) for _ in range(6)]
    alone: Order = PASTS[past](200)
    plain, wrapped = Cache(200, order=alone), Cache(200, order=PromiseOrder(PASTS[past](200), 800))
    for _ in range(200):
        tokens = np.concatenate((trunks[rng.integers(6)][: rng.integers(1, 60)],
                                 rng.integers(0, 9, 8)))  # fmt: skip
        assert send(plain, tokens) == send(wrapped, tokens)
    assert plain.tree.evicted == wrapped.tree.evicted > 1_000


def test_a_promise_ends_when_it_is_kept_and_covers_no_more_than_it_says() -> None:
    cache = Cache(1_000)
    tokens = np.arange(50)
    send(cache, tokens, Promise(30, 2))
    tree: Any = cache.tree
    assert [len(node.tokens) for node in path_of(leaves(tree)[0])] == [0, 30, 20]
    assert [node.promised for node in path_of(leaves(tree)[0])] == [0, 2, 0]
    assert tree.evict(20) == 20 and tree.lookup("", tokens) == 30
    send(cache, tokens)
    assert tree.lookup("", tokens) == 50
    assert not any(node.promised for node in path_of(leaves(tree)[0]))


def test_programs_in_a_circle_keep_the_prefixes_whose_turn_is_first() -> None:
    """More prefixes than fit are read in turns. Least recent use finds none; with promises, as
    many stay as there is room for."""
    found = {}
    for name in ("recent", "promised"):
        past = HeapOrder(least_recently_used)
        order: Order = PromiseOrder(past, 10_000) if name == "promised" else past
        cache = Cache(400, order=order)
        prefixes = [np.arange(1_000 * i, 1_000 * i + 64) for i in range(12)]
        for prefix in prefixes:
            send(cache, prefix, Promise(64, 1))
        found[name] = sum(send(cache, prefix) for prefix in prefixes)
    assert found["recent"] == 0 and found["promised"] >= 5 * 64


def test_an_engine_heeds_the_promise_of_a_request() -> None:
    rng = np.random.default_rng(1)
    prefix, others = rng.integers(3, 150, 40), rng.integers(3, 150, (6, 40))
    past = HeapOrder(least_recently_used)
    orders: list[Order] = [past, PromiseOrder(HeapOrder(least_recently_used), 10_000)]
    cached = []
    for order in orders:
        engine = engine_for("llama", 130)
        engine.scheduler.cache = Cache(130, order=order)
        for ids in (prefix, *others):
            job = generation(ids.tolist(), 2, promise=Promise(40) if ids is prefix else None)
            engine.submit(job)
            run(engine, check=True)
        last = generation((*prefix.tolist(), 7), 3)
        engine.submit(last)
        run(engine, check=True)
        assert last.sink.ids == greedy("llama", (*prefix.tolist(), 7), 3)
        cached.append(last.sink.items[-1].usage.cached_tokens)
    assert cached == [0, 40]


def test_scores_promise_their_prompt_and_nothing_of_their_options() -> None:
    rng = np.random.default_rng(2)
    prompt, others = rng.integers(3, 150, 40), rng.integers(3, 150, (6, 40))
    options = ((5, 6, 7, 8), (9,), (5, 9, 10))
    cached, found = [], []
    for promise in (None, Promise(40)):
        engine = engine_for("llama", 130)
        past = HeapOrder(least_recently_used)
        engine.scheduler.cache = Cache(130, order=PromiseOrder(past, 10_000))
        request = ScoreRequest(
            prompt=TokenPrompt(tuple(prompt.tolist())), continuations=options, promise=promise
        )
        job: Any = Scoring(request, Sunk())
        engine.submit(job)
        run(engine, check=True)
        tree: Any = engine.scheduler.cache.tree
        held = [node for leaf in leaves(tree) for node in path_of(leaf)[1:]]
        assert all(node.promised == (promise is not None and node.stop <= 40) for node in held)
        for ids in others:
            engine.submit(generation(ids.tolist(), 2))
            run(engine, check=True)
        last = generation((*prompt.tolist(), *options[0], 11), 3)
        engine.submit(last)
        run(engine, check=True)
        assert last.sink.ids == greedy("llama", (*prompt.tolist(), *options[0], 11), 3)
        cached.append(last.sink.items[-1].usage.cached_tokens)
        found.append(job.sink.items[-1].logprobs)
    assert cached == [0, 40]
    assert found[0] == found[1]


def test_a_promise_of_nothing_sensible_is_refused() -> None:
    for tokens, steps in ((-1, 1), (5, 0)):
        with pytest.raises(BackendError, match="not allowed"):
            Promise(tokens, steps)
