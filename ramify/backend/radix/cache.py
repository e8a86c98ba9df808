"""KV for sequences: the tree for what is shared, slots for each sequence's own tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from ramify.backend.radix.eviction import Order
from ramify.backend.radix.host import HostTier
from ramify.backend.radix.naive_tree import NaiveTree
from ramify.backend.radix.node import Node, common_length, path_of
from ramify.backend.radix.promises import PromiseOrder
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import NO_SLOTS, IntArray, SlotAllocator
from ramify.backend.radix.tree import RadixTree
from ramify.backend.radix.worth import WorthOrder

LAPSE = 4  # a promise is void when so many times the pool has come in
TAIL_RUN = 32  # slots that a tail grows by: keeps an answer in few runs, wastes at most 31


class Tree(Protocol):
    """What the radix tree and its naive twin both are; see `RadixTree`."""

    nodes: int
    total: int
    evicted: int

    @property
    def evictable(self) -> int: ...
    def lookup(self, salt: str, tokens: IntArray) -> int: ...
    def lock(self, salt: str, tokens: IntArray, *, start: int = 0) -> Node: ...
    def admitted(self, leaf: Node, tokens: IntArray) -> list[tuple[int, int]]: ...
    def promise(self, leaf: Node, tokens: int, steps: int) -> None: ...
    def extend(
        self, leaf: Node, tokens: IntArray, slots: IntArray, *, ready: bool = False, uses: int = 1
    ) -> Node: ...
    def commit(self, leaf: Node, tokens: IntArray, slots: IntArray) -> Node: ...
    def path_slots(self, leaf: Node) -> IntArray: ...
    def pending(self, leaf: Node) -> list[Node]: ...
    def release(self, leaf: Node) -> None: ...
    def forget(self, leaf: Node, floor: int = 0) -> None: ...
    def evict(self, count: int) -> int: ...
    def clear(self) -> int: ...
    def check(self, leaves: Iterable[Node]) -> None: ...


class Cache:
    """Gives sequences their slots and takes them back. `shared=False` is the naive twin."""

    def __init__(self, capacity: int, *, shared: bool = True, order: Order | None = None) -> None:
        self.slots = SlotAllocator(capacity)
        if order is None:
            order = PromiseOrder(WorthOrder(capacity), LAPSE * capacity)
        self.tree: Tree = RadixTree(self.slots, order) if shared else NaiveTree(self.slots)
        self._shared = shared
        self.host: HostTier | None = None
        self.asked = 0  # tokens that were looked for in the tree
        self.hits = 0  # of them: found, there or in the host tier

    def attach(self, host: HostTier) -> None:
        """From now on, what is evicted goes to a host tier."""
        assert isinstance(self.tree, RadixTree), "the naive twin keeps nothing"
        self.host = host
        self.tree.spill = self._spill

    def _spill(self, node: Node) -> None:
        assert self.host is not None
        path = path_of(node)
        tokens = np.concatenate([each.tokens for each in path])
        slots = np.concatenate([each.slots for each in path])
        self.host.store(node.salt, path[0].start, tokens, slots)

    def clear(self) -> int:
        """Drop everything that no sequence uses, in the host tier too; returns the tokens."""
        return self.tree.clear() + (self.host.tree.clear() if self.host is not None else 0)

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
        changed, where fewer than `reserve` slots would be left available for others.

        The supports of the sequence are admitted with it, all or none.
        """
        assert sequence.leaf is None
        paths = sequence.paths
        leaves = [self.tree.lock(path.root, path.keys, start=path.base) for path in paths]
        common = self._common(paths)
        new = [
            path.length - max(path.base + same, leaf.stop)
            for path, leaf, same in zip(paths, leaves, common, strict=True)
        ]
        need = sum(new)
        if self.available < need + reserve:
            for leaf in leaves:
                self.tree.release(leaf)
            return False
        spare = min(TAIL_RUN, sequence.limit - sequence.length, self.available - need - reserve)
        for path, leaf, same in zip(paths, leaves, common, strict=True):
            self.asked += len(path.keys) - same
            self.hits += max(0, leaf.stop - path.base - same)
            if path.base + same > leaf.stop:  # a support before it has brought these in
                self.tree.release(leaf)
                leaf = self.tree.lock(path.root, path.keys, start=path.base)
            self._enter(path, leaf, spare if path is sequence else 0)
        return True

    def known(self, sequence: Sequence) -> int:
        """How many tokens of a sequence are in the tree, computed or about to be."""
        return self.tree.lookup(sequence.root, sequence.keys)

    def demand(self, sequence: Sequence) -> int:
        """The slots that a sequence takes at its longest, where nothing of it is known."""
        paths = sequence.paths
        rest = sum(p.limit - p.base - c for p, c in zip(paths, self._common(paths), strict=True))
        return rest

    def _common(self, paths: tuple[Sequence, ...]) -> list[int]:
        """Per path: how many leading tokens it has in common with one before it."""
        found = [0] * len(paths)
        for i, path in enumerate(paths if self._shared else ()):
            same_root = (p for p in paths[:i] if p.root == path.root)
            found[i] = max((common_length(p.keys, path.keys) for p in same_root), default=0)
        return found

    def _enter(self, path: Sequence, leaf: Node, spare: int) -> None:
        """Take slots for what is not known of a locked path, and put it into the tree."""
        known, base = leaf.stop, path.base
        own = self.tree.path_slots(leaf)
        slots = self._take(path.length - known + spare, own)
        runs = self.tree.admitted(leaf, path.keys)
        back = known
        if self.host is not None and leaf.ready:
            back += self.host.load(path.root, base, path.keys, known - base, slots)
            self.hits += back - known
        # What was here once, and was evicted, has been used more often than the rest.
        at = known
        for stop, uses in (*((base + end, uses) for end, uses in runs), (path.sharable, 1)):
            for end in (min(stop, back), min(stop, path.sharable)):
                if end > at:
                    new = slots[at - known : end - known]
                    keys = path.tokens[at:end].copy()
                    leaf = self.tree.extend(leaf, keys, new, ready=end <= back, uses=uses)
                    at = end
        path.slots = np.empty(path.limit, np.int64)
        for run in path.runs:
            end = run.at + run.stop - run.start
            path.slots[run.at : end] = path.supports[run.path].slots[run.start : run.stop]
        path.held = known + len(slots)
        path.slots[base : path.held] = np.concatenate((own, slots))
        path.leaf = leaf
        path.shared = path.done = path.sharable

    def kept(self, salt: str, tokens: IntArray) -> IntArray | None:
        """The slots of tokens that are all computed and in the tree; None where some are not."""
        leaf = self.tree.lock(salt, tokens)
        slots = self.tree.path_slots(leaf) if leaf.ready else NO_SLOTS
        self.tree.release(leaf)
        return slots if len(slots) == len(tokens) else None

    def adopt(self, salt: str, tokens: IntArray, fill: Callable[[IntArray, int], None]) -> bool:
        """Put tokens into the tree whose KV comes from elsewhere: `fill` writes it into the slots
        it is given, for the tokens from a number on. False, with nothing changed, where there is
        no room now, or another sequence is just computing them."""
        leaf = self.tree.lock(salt, tokens)
        known = leaf.stop
        try:
            if not leaf.ready or self.available < len(tokens) - known:
                return False
            if known < len(tokens):
                slots = self._take(len(tokens) - known, self.tree.path_slots(leaf))
                try:
                    fill(slots, known)
                except BaseException:
                    self.slots.give(slots)
                    raise
                leaf = self.tree.extend(leaf, tokens[known:], slots, ready=True)
            return True
        finally:
            self.tree.release(leaf)

    def grow(self, sequence: Sequence, more: int = 0) -> bool:
        """Make sure that every known token has a slot, and `more` behind them; False where there
        is none to be had."""
        need = sequence.length + more - sequence.held
        if need <= 0:
            return True
        if self.available < need:
            return False
        count = min(max(need, TAIL_RUN), sequence.limit - sequence.held, self.available)
        slots = self._take(count, sequence.slots[: sequence.held])
        sequence.slots[sequence.held : sequence.held + count] = slots
        sequence.held += count
        return True

    def retire(self, sequence: Sequence, *, keep: bool = True, floor: int = 0) -> None:
        """Take everything back from a sequence and its supports. `keep` leaves the computed tokens
        in the tree; without it those behind the first `floor` are dropped, as far as no other
        sequence uses them."""
        for path in reversed(sequence.paths):
            self._leave(path, keep=keep or (floor > 0 and path is not sequence), floor=floor)

    def _leave(self, sequence: Sequence, *, keep: bool, floor: int) -> None:
        leaf = sequence.leaf
        assert leaf is not None
        kept = sequence.done if keep else sequence.shared
        tail = slice(sequence.shared, kept)
        leaf = self.tree.commit(leaf, sequence.tokens[tail].copy(), sequence.slots[tail].copy())
        self.slots.give(sequence.slots[kept : sequence.held])
        if keep:
            if sequence.promise is not None:
                self.tree.promise(leaf, sequence.promise.tokens, sequence.promise.steps)
            self.tree.release(leaf)
        else:
            self.tree.forget(leaf, floor)
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
        sequence.shared = sequence.done = leaf.stop
        sequence.held = leaf.stop + len(rest)
        slots = sequence.slots.copy()  # a new buffer: layouts know a sequence by it
        slots[sequence.base : sequence.held] = np.concatenate((path, rest))
        sequence.slots = slots

    def scored(self, sequence: Sequence, start: int) -> list[float]:
        """The log-probabilities of known tokens from `start` on, as far as the tree has them."""
        leaf = self.tree.lock(sequence.root, sequence.known.copy())
        found = self.slots.logprobs[self.tree.path_slots(leaf)[start:]]
        self.tree.release(leaf)
        unknown = np.flatnonzero(np.isnan(found))
        values: list[float] = found[: unknown[0] if len(unknown) else None].tolist()
        return values

    def _take(self, count: int, before: IntArray) -> IntArray:
        if count > self.slots.free:
            self.tree.evict(count - self.slots.free)
        near = int(before[-1]) + 1 if len(before) else -1
        return self.slots.take(count, near=near)

    def check(self, sequences: Iterable[Sequence]) -> None:
        """Raise AssertionError where slots, tree and the admitted sequences disagree."""
        self.slots.check()
        if self.host is not None:
            self.host.check()
        admitted = [path for s in sequences if s.leaf is not None for path in s.paths]
        leaves = [s.leaf for s in admitted if s.leaf is not None]
        self.tree.check(leaves)
        tails = 0
        for s in admitted:
            s.check()
            assert s.leaf is not None
            path = self.tree.path_slots(s.leaf)
            assert (s.slots[s.base : s.shared] == path).all(), "it reads slots it does not hold"
            for run in s.runs:
                there = s.supports[run.path].slots[run.start : run.stop]
                here = s.slots[run.at : run.at + run.stop - run.start]
                assert (here == there).all(), "it reads slots that its supports do not hold"
            tails += s.held - s.shared
        used = tails + self.tree.total
        assert self.slots.used == used, f"{self.slots.used - used} slots are lost"
