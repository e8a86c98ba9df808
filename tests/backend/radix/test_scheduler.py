"""Who runs when: priority, bounded waiting, budgets, reserves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix.cache import Cache
from ramify.backend.radix.scheduler import Chunk, Scheduler
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.waiting import WaitingQueue


@dataclass
class Ask:
    priority: float = 0.0
    salt: str = ""
    left: int = 4  # tokens to decode


def sequence(tokens: list[int], n: int = 4, priority: float = 0.0) -> Sequence:
    ids = np.array(tokens)
    limit, size = len(ids) + n, len(ids)
    return Sequence.of(Ask(priority, left=n), ids, limit=limit, prompt=size, wanted=size - 1)


def step(scheduler: Scheduler) -> tuple[list[Chunk], list[Sequence]]:
    """A step of a model that always says 0; returns the chunks and who has finished."""
    chunks = scheduler.plan()
    assert sum(c.stop - c.start for c in chunks) <= scheduler.budget
    scheduler.complete(chunks)
    finished = []
    for chunk in chunks:
        s = chunk.sequence
        if chunk.stop == s.length:
            s.job.left -= 1
            if s.job.left:
                s.append(0)
            else:
                scheduler.remove(s)
                finished.append(s)
    scheduler.check()
    return chunks, finished


def drain(scheduler: Scheduler, limit: int = 3000) -> list[Sequence]:
    finished: list[Sequence] = []
    for _ in range(limit):
        if not (scheduler.running or len(scheduler.waiting)):
            return finished
        finished += step(scheduler)[1]
    raise AssertionError("somebody never comes to an end")


def test_larger_priority_goes_first() -> None:
    scheduler = Scheduler(Cache(500), max_batch=1)
    asked = [sequence([i, i, i], priority=p) for i, p in enumerate((1.0, 3.0, 2.0, 3.0))]
    for s in asked:
        scheduler.submit(s)
    assert [asked.index(s) for s in drain(scheduler)] == [1, 3, 2, 0]


def test_nobody_waits_for_ever() -> None:
    scheduler = Scheduler(Cache(500), max_batch=1, patience=20)
    humble = sequence([9], priority=-5.0)
    scheduler.submit(humble)
    for i in range(200):
        scheduler.submit(sequence([i % 7, i], n=2, priority=1.0))
        if humble in step(scheduler)[1]:
            break
    assert scheduler.step <= 30


def test_decoding_goes_on_while_a_long_prompt_is_read() -> None:
    scheduler = Scheduler(Cache(500), max_batch=2, budget=10)
    short = sequence([1, 2], n=10)
    scheduler.submit(short)
    step(scheduler)
    scheduler.submit(sequence(list(range(40))))
    for _ in range(4):
        chunks, _ = step(scheduler)
        assert chunks[0].sequence is short
        assert [c.stop - c.start for c in chunks] == [1, 9]


def test_the_best_that_waits_is_not_overtaken_when_memory_is_short() -> None:
    scheduler = Scheduler(Cache(60), max_batch=8)
    scheduler.submit(sequence(list(range(30)), n=8))
    step(scheduler)
    big = sequence([100 + i for i in range(40)], n=2, priority=2.0)
    small = sequence([7], n=1)
    scheduler.submit(big)
    scheduler.submit(small)
    while big.leaf is None:
        assert small.leaf is None
        step(scheduler)
    drain(scheduler)


@settings(max_examples=80, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.lists(st.integers(0, 1), min_size=1, max_size=30),
            st.integers(1, 40),
            st.sampled_from([0.0, 1.0, 2.0]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
    slots=st.integers(70, 150),
    budget=st.integers(1, 40),
    max_batch=st.integers(1, 6),
    shared=st.booleans(),
    patience=st.sampled_from([0, 10, 1000]),
)
def test_everyone_comes_to_an_end(asked, slots, budget, max_batch, shared, patience) -> None:  # type: ignore[no-untyped-def]
    cache = Cache(slots, shared=shared)
    scheduler = Scheduler(cache, max_batch=max_batch, budget=budget, patience=patience)
    finished = []
    for tokens, n, priority, pause in asked:
        scheduler.submit(sequence(tokens, n, priority))
        for _ in range(pause):
            finished += step(scheduler)[1]
    finished += drain(scheduler)
    assert len(finished) == len(asked)
    cache.tree.clear()
    assert cache.slots.used == 0


@pytest.mark.parametrize("again", [False, True])
def test_the_queue_forgets_who_leaves(again: bool) -> None:
    queue = WaitingQueue(patience=100)
    asked = [sequence([i], priority=float(i)) for i in range(4)]
    for i, s in enumerate(asked):
        s.order = i
        queue.push(s)
    queue.remove(asked[3])
    queue.remove(asked[0])
    assert queue.best(0) is asked[2] and len(queue) == 2
    if again:
        queue.push(asked[3])
        assert queue.best(0) is asked[3]
    assert queue.best(101) is asked[1]
