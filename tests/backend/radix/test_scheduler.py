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


@settings(max_examples=40, deadline=None)
@given(
    waves=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=40
    ),
    patience=st.sampled_from([0, 15, 60]),
    max_batch=st.integers(1, 3),
)
def test_waiting_is_bounded_whoever_comes_later(waves, patience, max_batch) -> None:  # type: ignore[no-untyped-def]
    """Others arrive for ever, all of them better: of higher priority, of longer known prefixes.
    Nobody who came later goes first once patience is over, so the wait is at most patience and
    the longest run of those who are inside."""
    scheduler = Scheduler(Cache(90), max_batch=max_batch, patience=patience, budget=64)
    humble = sequence([7] * 30, n=3, priority=-1.0)
    scheduler.submit(humble)
    steps = 0
    while humble.leaf is None:
        for shape in waves:
            kind, length, n = shape
            if len(scheduler.waiting) < 8:
                scheduler.submit(sequence([kind] * length, n=n, priority=float(kind)))
        step(scheduler)
        steps += 1
        # 12 tokens of prompt are one chunk, 6 decode steps, twice for a preemption
        assert steps <= patience + 2 + 2 * (1 + 6)


def test_where_memory_is_short_the_longer_known_prefix_goes_first_but_not_for_ever() -> None:
    scheduler = Scheduler(Cache(60), max_batch=1, patience=30)
    scheduler.submit(sequence(list(range(30)), n=2))
    drain(scheduler)
    stranger, friend = sequence(list(range(100, 140)), n=2), sequence([*range(28), 99], n=2)
    scheduler.submit(stranger)
    scheduler.submit(friend)
    assert drain(scheduler) == [friend, stranger]
    stranger = sequence(list(range(200, 240)), n=2)
    scheduler.submit(stranger)
    for i in range(60):
        scheduler.submit(sequence([*range(28), 100 + i], n=2))
        if stranger in step(scheduler)[1]:
            break
    assert scheduler.step - stranger.arrived <= 40


def test_who_cannot_all_fit_runs_one_after_another_without_thrashing() -> None:
    """Ten answers that each need most of the pool: the best always goes on, so that the work is
    done in about as many steps as the tokens have, and nobody is thrown out again and again."""
    scheduler = Scheduler(Cache(80), max_batch=8)
    asked = [sequence([i], n=70) for i in range(10)]
    for s in asked:
        scheduler.submit(s)
    assert len(drain(scheduler)) == 10
    assert scheduler.step <= 10 * 75
    assert scheduler.preempted <= 40


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_order_of_arrival_a_common_prefix_is_computed_once(
    data: st.DataObject,
) -> None:
    """Leaders and followers: rows of the tree are its distinct prefixes, however siblings come."""
    prompts = data.draw(
        st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=20), min_size=2, max_size=8)
    )
    scheduler = Scheduler(Cache(2_000), max_batch=8, budget=data.draw(st.integers(1, 50)))
    rows, finished = 0, 0

    def go() -> None:
        nonlocal rows, finished
        chunks, done = step(scheduler)
        rows += sum(c.stop - c.start for c in chunks)
        finished += len(done)

    for prompt in data.draw(st.permutations(prompts)):
        scheduler.submit(sequence(prompt, n=2))
        for _ in range(data.draw(st.integers(0, 3))):
            go()
    while scheduler.running or len(scheduler.waiting):
        go()
    # fewer where what an earlier one decoded is part of a later prompt
    prefixes = {tuple(p[:i]) for p in prompts for i in range(1, len(p))}
    assert finished == len(prompts)
    assert rows <= len(prefixes) + 2 * len(prompts)
