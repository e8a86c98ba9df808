"""Which unused leaf of the radix tree is evicted first: the simple orders.

An order holds the leaves that no sequence uses. `HeapOrder` with the value of least recent use is
the twin that every other order is measured against (`benchmarks/cache_policies`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Protocol

from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import IntArray

Value = Callable[[Node], float]


class Order(Protocol):
    """The unused leaves, and who of them goes first."""

    grain: int | None  # evict at most up to the next multiple of so many positions at a time
    visit: int  # uses that are not farther apart on the tree's clock count as one

    def push(self, node: Node) -> None:
        """A node has become an unused leaf, or is one still after its end was evicted."""
        ...

    def pop(self, now: int) -> Node | None:
        """Take out the leaf to evict next; `now` is the tree's clock. None: there is none."""
        ...

    def seen(self, salt: str, tokens: IntArray, now: int) -> list[tuple[int, int]]:
        """A sequence with these tokens was admitted. Returns the runs of the leading ones that came
        before, in the tree or not: where each ends, and how often it has come now."""
        ...

    def __iter__(self) -> Iterator[Node]:
        """Every node that `pop` may give, and perhaps some that it will skip."""
        ...

    def check(self) -> None:
        """Raise AssertionError where the order breaks an invariant of its own."""
        ...


def evictable(node: Node) -> bool:
    """Whether a node is a leaf that no sequence uses, and not gone."""
    return not node.refs and not node.children and len(node.tokens) > 0


class HeapOrder:
    """Smallest value first; the value is asked for whenever a leaf comes in. Entries that are not
    valid any more are thrown out when they are more than the others."""

    def __init__(self, value: Value, *, grain: int | None = None) -> None:
        self.grain = grain
        self.visit = 0
        self._value = value
        self._heap: list[tuple[float, int, Node]] = []  # value, number of the entry, node
        self._entries = 0
        self._limit = 64

    def push(self, node: Node) -> None:
        self._entries += 1
        node.queued = self._entries  # an earlier entry of the node is not valid any more
        heapq.heappush(self._heap, (self._value(node), self._entries, node))
        if len(self._heap) > self._limit:
            self._heap = [entry for entry in self._heap if _valid(entry)]
            heapq.heapify(self._heap)
            self._limit = 64 + 2 * len(self._heap)

    def pop(self, now: int) -> Node | None:
        while self._heap:
            entry = heapq.heappop(self._heap)
            if _valid(entry):  # else in use, or gone, or it came in again
                value, _, node = entry
                node.queued = 0
                self.popped(value)
                return node
        return None

    def popped(self, value: float) -> None:
        """A leaf of this value is evicted."""

    def seen(self, salt: str, tokens: IntArray, now: int) -> list[tuple[int, int]]:
        return []

    def __iter__(self) -> Iterator[Node]:
        return (entry[-1] for entry in self._heap if _valid(entry))

    def check(self) -> None:
        heap = self._heap
        assert len(heap) <= self._limit, "entries that are not valid are kept"
        assert all(heap[(at - 1) // 2][:2] < heap[at][:2] for at in range(1, len(heap)))
        valid = [entry[1] for entry in heap if _valid(entry)]
        assert len(valid) == len(set(valid)) and max(valid, default=0) <= self._entries


def _valid(entry: tuple[float, int, Node]) -> bool:
    _, number, node = entry
    return node.queued == number and evictable(node)


def least_recently_used(node: Node) -> float:
    """The oldest use first."""
    return node.last_use


def least_frequently_used(node: Node) -> float:
    """The fewest uses first, and among them the oldest."""
    return node.uses + node.last_use / 2**62


class CostOrder(HeapOrder):
    """Least recomputation per slot first: GreedyDual-Size-Frequency (Cherkasova, HPL-98-69).

    A token costs its share of the weights' work and the attention to what stands before it, which
    is as much again after `balance` positions. What is evicted raises the floor for all that comes
    in afterwards; that is how old uses are forgotten.
    """

    def __init__(self, balance: int = 4096) -> None:
        super().__init__(self._worth)
        self._balance = balance
        self._floor = 0.0

    def _worth(self, node: Node) -> float:
        middle = (node.start + node.stop) / 2
        return self._floor + node.uses * (1 + middle / self._balance)

    def popped(self, value: float) -> None:
        self._floor = max(self._floor, value)
