"""KV for sequences: the tree for what is shared, slots for each sequence's own tail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from ramify.backend.radix.naive_tree import NaiveTree
from ramify.backend.radix.node import Node, Policy, least_recently_used
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import NO_SLOTS, IntArray, SlotAllocator
from ramify.backend.radix.tree import RadixTree

TAIL_RUN = 32  # slots that a tail grows by: keeps an answer in few runs, wastes at most 31


class Tree(Protocol):
    """What the radix tree and its naive twin both are; see `RadixTree`."""

    nodes: int
    total: int
    evicted: int

    @property
    def evictable(self) -> int: ...
    def lookup(self, salt: str, tokens: IntArray) -> int: ...
    def lock(self, salt: str, tokens: IntArray) -> Node: ...
    def extend(
        self, leaf: Node, tokens: IntArray, slots: IntArray, *, ready: bool = False
    ) -> Node: ...
    def commit(self, leaf: Node, tokens: IntArray, slots: IntArray) -> Node: ...
    def path_slots(self, leaf: Node) -> IntArray: ...
    def pending(self, leaf: Node) -> list[Node]: ...
    def release(self, leaf: Node) -> None: ...
    def forget(self, leaf: Node) -> None: ...
    def evict(self, count: int) -> int: ...
    def clear(self) -> int: ...
    def check(self, leaves: Iterable[Node]) -> None: ...


class Cache:
    """Gives sequences their slots and takes them back. `shared=False` is the naive twin."""

    def __init__(
        self, capacity: int, *, shared: bool = True, policy: Policy = least_recently_used
    ) -> None:
        self.slots = SlotAllocator(capacity)
        self.tree: Tree = RadixTree(self.slots, policy) if shared else NaiveTree(self.slots)
        self.asked = 0  # tokens that were looked for in the tree
        self.hits = 0  # of them: found

    @property
    def capacity(self) -> int:
        """All slots."""
        return self.slots.capacity

    @property
    def available(self) -> int:
        """Slots that are free or can be made free by evicting."""
        return self.slots.free + self.tree.evictable

    def admit(self, sequence: Sequence, *, reserve: int = 0) -> bool:
        """Lock the known prefix and take slots for the rest of what is known; False, with nothing
        changed, where fewer than `reserve` slots would be left available for others."""
        assert sequence.leaf is None
        keys = sequence.tokens[: sequence.sharable].copy()
        leaf = self.tree.lock(sequence.job.salt, keys)
        known = leaf.stop
        need = sequence.length - known
        if self.available < need + reserve:
            self.tree.release(leaf)
            return False
        spare = min(TAIL_RUN, sequence.limit - sequence.length, self.available - need - reserve)
        path = self.tree.path_slots(leaf)
        slots = self._take(need + spare, path)
        new = len(keys) - known
        if new:
            leaf = self.tree.extend(leaf, keys[known:], slots[:new])
        sequence.slots = np.empty(sequence.limit, np.int64)
        sequence.held = known + len(slots)
        sequence.slots[: sequence.held] = np.concatenate((path, slots))
        sequence.leaf = leaf
        sequence.shared = sequence.done = len(keys)
        self.asked += len(keys)
        self.hits += known
        return True

    def grow(self, sequence: Sequence) -> bool:
        """Make sure that every known token has a slot; False where there is none to be had."""
        need = sequence.length - sequence.held
        if need <= 0:
            return True
        if self.available < need:
            return False
        count = min(max(need, TAIL_RUN), sequence.limit - sequence.held, self.available)
        slots = self._take(count, sequence.slots[: sequence.held])
        sequence.slots[sequence.held : sequence.held + count] = slots
        sequence.held += count
        return True

    def retire(self, sequence: Sequence, *, keep: bool = True) -> None:
        """Take everything back from a sequence. `keep` leaves its computed tokens in the tree;
        without it they are dropped as far as no other sequence uses them."""
        leaf = sequence.leaf
        assert leaf is not None
        kept = sequence.done if keep else sequence.shared
        tail = slice(sequence.shared, kept)
        leaf = self.tree.commit(leaf, sequence.tokens[tail].copy(), sequence.slots[tail].copy())
        self.slots.give(sequence.slots[kept : sequence.held])
        if keep:
            self.tree.release(leaf)
        else:
            self.tree.forget(leaf)
        sequence.leaf, sequence.slots = None, NO_SLOTS
        sequence.shared = sequence.done = sequence.held = 0

    def share_tail(self, sequence: Sequence) -> None:
        """Move the computed tail into the tree, so that forks find it."""
        leaf, done, held = sequence.leaf, sequence.done, sequence.held
        assert leaf is not None
        tail = slice(sequence.shared, done)
        leaf = self.tree.commit(leaf, sequence.tokens[tail].copy(), sequence.slots[tail].copy())
        rest = sequence.slots[done:held].copy()
        path = self.tree.path_slots(leaf)
        sequence.leaf = leaf
        sequence.shared = sequence.done = len(path)
        sequence.held = len(path) + len(rest)
        sequence.slots[: sequence.held] = np.concatenate((path, rest))

    def _take(self, count: int, before: IntArray) -> IntArray:
        if count > self.slots.free:
            self.tree.evict(count - self.slots.free)
        near = int(before[-1]) + 1 if len(before) else -1
        return self.slots.take(count, near=near)

    def check(self, sequences: Iterable[Sequence]) -> None:
        """Raise AssertionError where slots, tree and the admitted sequences disagree."""
        self.slots.check()
        admitted = [s for s in sequences if s.leaf is not None]
        leaves = [s.leaf for s in admitted if s.leaf is not None]
        self.tree.check(leaves)
        tails = 0
        for s in admitted:
            s.check()
            assert s.leaf is not None
            path = self.tree.path_slots(s.leaf)
            assert (s.slots[: s.shared] == path).all(), "a sequence reads slots it does not hold"
            tails += s.held - s.shared
        used = tails + self.tree.total
        assert self.slots.used == used, f"{self.slots.used - used} slots are lost"
