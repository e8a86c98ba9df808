"""Tree, slots and sequences together, in random order: nothing is lost, read wrongly or kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ramify.backend.contract import BlockSpan, Promise
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.eviction import CostOrder, HeapOrder, Order, least_recently_used
from ramify.backend.radix.host import HostTier
from ramify.backend.radix.sequence import Sequence

SLOTS = 60


@dataclass
class Ask:
    priority: float = 0.0
    salt: str = ""


def send(cache: Cache, tokens: np.ndarray, promise: Promise | None = None) -> int:
    """Send a prompt through a cache; returns how many of its tokens were found."""
    before, size = cache.hits, len(tokens)
    sequence = Sequence.of(Ask(), tokens, limit=size, prompt=size, wanted=size)
    sequence.promise = promise
    assert cache.admit(sequence)
    assert sequence.leaf is not None
    for node in cache.tree.pending(sequence.leaf):
        node.computed = len(node.tokens)
    cache.retire(sequence)
    cache.check([])
    return cache.hits - before


class CacheMachine(RuleBasedStateMachine):
    """Sequences over a tiny alphabet. `kv` plays the model: it notes which text each slot holds,
    and a sequence must always find its own text in its slots."""

    shared = True
    host = 0  # slots of a host tier
    order: Callable[[], Order] | None = None  # of eviction; None: the default one

    def __init__(self) -> None:
        super().__init__()
        order = type(self).order
        self.cache = Cache(SLOTS, shared=self.shared, order=order() if order else None)
        self.running: list[Sequence] = []
        self.preempted: list[Sequence] = []
        self.files: list[tuple[str, Any, list[tuple[str, bytes]]]] = []  # saved: root, tokens, KV
        self.kv: dict[int, tuple[str, bytes]] = {}
        self.host_kv: dict[int, tuple[str, bytes]] = {}
        if self.host:
            out, back = self.copy(self.kv, self.host_kv), self.copy(self.host_kv, self.kv)
            self.cache.attach(HostTier(self.host, out=out, back=back))

    @staticmethod
    def copy(here: dict[int, Any], there: dict[int, Any]) -> Callable[[Any, Any], None]:
        def move(slots: Any, to: Any) -> None:
            there.update({t: here[s] for s, t in zip(slots.tolist(), to.tolist(), strict=True)})

        return move

    def text(self, sequence: Sequence, at: int) -> tuple[str, bytes]:
        """What the KV of a position depends on: the salt and all tokens up to it; behind blocks
        the root's name in place of what lies before it, in blocks what their branches see."""
        for run in sequence.runs:
            if run.at <= at < run.at + run.stop - run.start:
                return self.text(sequence.supports[run.path], at - run.at + run.start)
        return sequence.root, sequence.tokens[sequence.base : at + 1].tobytes()

    def compute(self, sequence: Sequence, limit: int) -> None:
        """What a step does: the next positions of the path, then of the tail."""
        assert sequence.leaf is not None
        for path in sequence.supports:
            if path.leaf is not None and not path.leaf.ready:
                return self.compute(path, limit)
        for node in self.cache.tree.pending(sequence.leaf):
            stop = min(node.stop, node.start + node.computed + limit)
            for at in range(node.start + node.computed, stop):
                self.kv[int(sequence.slots[at])] = self.text(sequence, at)
            limit -= stop - node.start - node.computed
            node.computed = stop - node.start
            if not node.ready:
                return
        stop = min(sequence.length, sequence.held, sequence.done + limit)
        for at in range(sequence.done, stop):
            self.kv[int(sequence.slots[at])] = self.text(sequence, at)
        sequence.done = max(sequence.done, stop)

    @rule(
        tokens=st.lists(st.integers(0, 1), min_size=1, max_size=25),
        more=st.integers(1, 20),
        salt=st.sampled_from("ab"),
        tail=st.integers(0, 4),
        cuts=st.lists(
            st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 3)), max_size=5
        ),
        promise=st.none() | st.builds(Promise, st.integers(0, 40), st.integers(1, 3)),
    )
    def admit(
        self,
        tokens: list[int],
        more: int,
        salt: str,
        tail: int,
        cuts: list[tuple[int, int, int]],
        promise: Promise | None,
    ) -> None:
        wanted = max(0, len(tokens) - tail)
        limit = min(len(tokens) + more, SLOTS)
        at, blocks = 0, []
        for size, gap, repair in cuts:  # a gap ends a group
            at += gap
            group = len(blocks) if gap or not blocks else blocks[-1].group
            blocks.append(BlockSpan(at, at + size, group, repair))
            at += size
        blocks = [block for block in blocks if block.stop <= len(tokens)]
        sequence = Sequence.of(
            Ask(salt=salt), np.array(tokens), limit=limit, prompt=len(tokens), wanted=wanted,
            blocks=blocks,
        )  # fmt: skip
        sequence.promise = promise
        if self.cache.demand(sequence) > SLOTS:
            return
        if self.cache.admit(sequence):
            self.running.append(sequence)
        else:
            assert self.running, "a pool that nobody uses refused a sequence that fits it"

    @rule(i=st.integers(0, 99), limit=st.integers(1, 12))
    def step(self, i: int, limit: int) -> None:
        if self.running:
            self.compute(self.running[i % len(self.running)], limit)

    @rule(i=st.integers(0, 99), tokens=st.lists(st.integers(0, 1), min_size=1, max_size=6))
    def append(self, i: int, tokens: list[int]) -> None:
        if not self.running:
            return
        sequence = self.running[i % len(self.running)]
        for token in tokens:
            if sequence.length < sequence.limit:
                sequence.append(token)
        if not self.cache.grow(sequence):
            assert len(self.running) > 1
            self.retire(i, keep=True)

    @rule(i=st.integers(0, 99))
    def fork(self, i: int) -> None:
        if not self.running:
            return
        parent = self.running[i % len(self.running)]
        assert parent.leaf is not None
        if parent.leaf.ready:
            before = self.cache.slots.used
            self.cache.share_tail(parent)
            assert self.cache.slots.used <= before, "a fork copied KV"
        child = parent.fork(parent.job)
        if self.cache.admit(child):
            self.running.append(child)

    @rule(i=st.integers(0, 99), keep=st.booleans())
    def retire(self, i: int, keep: bool) -> None:
        if self.running:
            self.cache.retire(self.running.pop(i % len(self.running)), keep=keep)

    @rule(i=st.integers(0, 99))
    def preempt(self, i: int) -> None:
        if self.running:
            sequence = self.running.pop(i % len(self.running))
            self.cache.retire(sequence)
            self.preempted.append(sequence)

    @rule(i=st.integers(0, 99))
    def go_on(self, i: int) -> None:
        """A sequence that lost its slots comes back, as long as it has become."""
        if self.preempted:
            sequence = self.preempted.pop(i % len(self.preempted))
            if self.cache.admit(sequence):
                self.running.append(sequence)
            else:
                self.preempted.append(sequence)

    @rule(i=st.integers(0, 99), cut=st.integers(1, 30))
    def save(self, i: int, cut: int) -> None:
        """A prefix goes to a file if all of its KV is in the tree."""
        known = [s for s in (*self.running, *self.preempted) if not s.supports]
        if known:
            sequence = known[i % len(known)]
            tokens = sequence.known[:cut].copy()
            slots = self.cache.kept(sequence.root, tokens)
            if slots is not None:
                file = [self.kv[slot] for slot in slots.tolist()]
                assert file == [self.text(sequence, at) for at in range(len(tokens))]
                self.files.append((sequence.root, tokens, file))

    @rule(i=st.integers(0, 99))
    def load(self, i: int) -> None:
        if self.files:
            root, tokens, file = self.files[i % len(self.files)]

            def fill(slots: Any, start: int) -> None:
                self.kv.update(zip(slots.tolist(), file[start:], strict=True))

            if self.cache.adopt(root, tokens, fill):
                slots = self.cache.kept(root, tokens) if self.shared else None
                assert not self.shared or slots is not None
                assert slots is None or [self.kv[slot] for slot in slots.tolist()] == file

    @rule(n=st.integers(1, 40))
    def evict(self, n: int) -> None:
        evictable = self.cache.tree.evictable
        assert self.cache.tree.evict(n) == min(n, evictable)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        assert self.cache.tree.evictable == 0
        assert self.cache.host is None or self.cache.host.slots.used == 0

    @invariant()
    def all_is_well(self) -> None:
        self.cache.check(self.running)
        for sequence in self.running:
            assert sequence.leaf is not None
            pending = self.cache.tree.pending(sequence.leaf)
            ready = pending[0].start + pending[0].computed if pending else sequence.done
            if not all(path.leaf is not None and path.leaf.ready for path in sequence.supports):
                continue
            for at in range(ready):
                assert self.kv[int(sequence.slots[at])] == self.text(sequence, at)

    def teardown(self) -> None:
        for sequence in self.running:
            self.cache.retire(sequence)
        self.cache.clear()
        assert self.cache.slots.used == 0
        assert self.cache.host is None or self.cache.host.slots.used == 0
        self.cache.check([])


class NaiveMachine(CacheMachine):
    shared = False


class RecentMachine(CacheMachine):
    order = staticmethod(lambda: HeapOrder(least_recently_used))


class CostMachine(CacheMachine):
    order = CostOrder


class HostMachine(CacheMachine):
    host = 50


TestRadix = CacheMachine.TestCase
TestRadix.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestNaive = NaiveMachine.TestCase
TestRecent = RecentMachine.TestCase
TestRecent.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestCost = CostMachine.TestCase
TestCost.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestHost = HostMachine.TestCase
TestHost.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestNaive.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)


def test_admission_leaves_a_reserve_or_changes_nothing() -> None:
    cache = Cache(20)
    sequence = Sequence.of(Ask(), np.arange(15), limit=20, prompt=15, wanted=14)
    assert not cache.admit(sequence, reserve=6)
    assert sequence.leaf is None and cache.slots.used == 0
    cache.check([])
    assert cache.admit(sequence, reserve=5)
    assert sequence.held == 15


def test_a_fork_shares_every_computed_token() -> None:
    cache = Cache(100)
    parent = Sequence.of(Ask(), np.arange(10), limit=40, prompt=10, wanted=9)
    assert cache.admit(parent)
    assert parent.leaf is not None
    parent.leaf.computed = 9
    for token in (50, 51, 52):
        parent.done = parent.length
        parent.append(token)
    cache.share_tail(parent)
    child = parent.fork(Ask())
    assert cache.admit(child)
    assert (child.slots[:12] == parent.slots[:12]).all()
    assert child.done == parent.done == 12
    cache.check([parent, child])


@pytest.mark.parametrize("shared", [True, False])
def test_every_slot_comes_back(shared: bool) -> None:
    cache = Cache(50, shared=shared)
    for _ in range(200):
        sequence = Sequence.of(Ask(), np.arange(30), limit=45, prompt=30, wanted=29)
        assert cache.admit(sequence)
        cache.retire(sequence)
    cache.tree.clear()
    assert cache.slots.free == 50
