"""The host tier: KV that the pool evicts goes to host memory, and a match brings it back.

It is a second radix tree over slots of its own. A path is kept there as a whole, from its root,
so that what stands in the tier can always be read after a prefix that is computed; what comes
back stays there as well, and is not copied again when it is evicted again.
"""

from __future__ import annotations

from collections.abc import Callable

from ramify.backend.radix.eviction import Order
from ramify.backend.radix.slots import IntArray, SlotAllocator
from ramify.backend.radix.tree import RadixTree
from ramify.backend.radix.worth import WorthOrder

Copy = Callable[[IntArray, IntArray], None]  # from these slots into those


class HostTier:
    """`capacity` slots in host memory. `out` copies KV from the pool to the tier, `back` the other
    way; both are done when they return."""

    def __init__(
        self, capacity: int, *, out: Copy, back: Copy, order: Order | None = None
    ) -> None:
        self.slots = SlotAllocator(capacity)
        self.tree = RadixTree(self.slots, WorthOrder(capacity) if order is None else order)
        self.stored = 0  # tokens copied out so far
        self.loaded = 0  # tokens copied back so far
        self._out = out
        self._back = back

    def store(self, root: str, start: int, tokens: IntArray, slots: IntArray) -> None:
        """Keep the path of these tokens, whose KV lies in these slots of the pool, as far as there
        is room. `start` is the position of the first."""
        leaf = self.tree.lock(root, tokens, start=start)
        known = leaf.stop - start
        self.tree.admitted(leaf, tokens[:known])
        count = min(len(tokens) - known, self.slots.free + self.tree.evictable)
        if count > 0:
            if count > self.slots.free:
                self.tree.evict(count - self.slots.free)
            stop = known + count
            own = self.slots.take(count)
            self._out(slots[known:stop], own)
            leaf = self.tree.extend(leaf, tokens[known:stop], own, ready=True)
            self.stored += count
        self.tree.release(leaf)

    def load(self, root: str, start: int, tokens: IntArray, known: int, slots: IntArray) -> int:
        """Copy what the tier has of a path behind its first `known` tokens into these slots of the
        pool; returns how many tokens that were."""
        if self.tree.lookup(root, tokens) <= known:
            return 0
        leaf = self.tree.lock(root, tokens, start=start)
        self.tree.admitted(leaf, tokens[: leaf.stop - start])
        own = self.tree.path_slots(leaf)[known:]
        self._back(own, slots[: len(own)])
        self.tree.release(leaf)
        self.loaded += len(own)
        return len(own)

    def check(self) -> None:
        """Raise AssertionError where tree and slots of the tier disagree."""
        self.slots.check()
        self.tree.check([])
        assert self.slots.used == self.tree.total, "slots of the host tier are lost"
