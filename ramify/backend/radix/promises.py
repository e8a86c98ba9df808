"""An order of eviction that knows what plans promise: what is used again soon stays.

The plan of a program knows which prompts it will read again, and after how many of its steps. An
order that knows the past only cannot: to it, a prefix whose branches have just finished is like any
other, although the join that reads it comes next. The orders of the past decide among what nothing
was promised of; what was promised goes last, the latest step first, as perfect knowledge would
have it (Belady), and among equals what was promised last, so that of many programs in a circle
those keep their prefixes whose turn comes first. Steps to the next use are KVFlow's idea
(arXiv:2507.07400).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ramify.backend.radix.eviction import Order, evictable
from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import IntArray

Entry = tuple[int, int, int, Node]  # minus the steps, minus the time, number of the entry, node


class PromiseOrder:
    """`past` decides among what nothing was promised of, which goes before all else.

    A promise that was not kept for `lapse` tokens on the tree's clock, because its program failed
    or was cancelled, is void. Without promises it is `past`, leaf by leaf.
    """

    def __init__(self, past: Order, lapse: int) -> None:
        self.grain = past.grain
        self.visit = past.visit
        self._past = past
        self._lapse = lapse
        self._every = max(1, lapse // 8)  # tokens after which lapsed promises are looked for
        self._due = self._now = 0  # on the tree's clock, the latter as of the last eviction
        self._heap: list[Entry] = []
        self._entries = 0
        self._limit = 64

    def push(self, node: Node) -> None:
        if not node.promised or self._now - node.promised_at >= self._lapse:
            node.promised = 0
            self._past.push(node)
            return
        self._entries += 1
        node.queued = -self._entries  # the numbers of the other order are positive
        entry = (-node.promised, -node.promised_at, self._entries, node)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > self._limit:
            self._keep(self._valid())

    def pop(self, now: int) -> Node | None:
        self._now = now
        if now >= self._due:
            self._void(now)
        node = self._past.pop(now)
        while node is None and self._heap:
            entry = heapq.heappop(self._heap)
            if _valid(entry):
                node = entry[-1]
                node.queued = 0
        return node

    def seen(self, salt: str, tokens: IntArray, now: int) -> list[tuple[int, int]]:
        return self._past.seen(salt, tokens, now)

    def _void(self, now: int) -> None:
        """Give what lapsed to the other order."""
        self._due = now + self._every
        kept = []
        for entry in self._valid():
            node = entry[-1]
            if now - node.promised_at < self._lapse:
                kept.append(entry)
            else:
                node.promised = 0
                self._past.push(node)
        self._keep(kept)

    def _valid(self) -> list[Entry]:
        return [entry for entry in self._heap if _valid(entry)]

    def _keep(self, entries: list[Entry]) -> None:
        self._heap = entries
        heapq.heapify(self._heap)
        self._limit = 64 + 2 * len(entries)

    def __iter__(self) -> Iterator[Node]:
        yield from self._past
        yield from (entry[-1] for entry in self._valid())

    def check(self) -> None:
        self._past.check()
        heap = self._heap
        assert len(heap) <= self._limit, "entries that are not valid are kept"
        assert all(heap[(at - 1) // 2][:3] < heap[at][:3] for at in range(1, len(heap)))
        for steps, time, _, node in self._valid():
            assert node.promised == -steps and node.promised_at == -time
        assert not any(node.promised for node in self._past), "a promise is not heeded"


def _valid(entry: Entry) -> bool:
    _, _, number, node = entry
    return node.queued == -number and evictable(node)
