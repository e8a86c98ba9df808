"""The default order of eviction: the leaf that is worth least goes first.

Least recent use keeps what was used just now, which fails where prefixes come again later than
the pool turns over: each is evicted shortly before its time. Here a leaf is worth the uses that it
is expected to bring for the room and the time that it takes, by how often it was used and how old
its last use is beside the time that prefixes usually take to come again. That is hit density
(Beckmann, Chen and Cidon, NSDI 2018) with a fixed table: one learned in the replay itself was far
worse. The table is the hazard of the blocks of the Mooncake conversation trace
(arXiv:2407.00079) behind the 2,000 requests that the benchmark replays, as a Gittins index: the
best ratio, over all times to wait, of the chance of a use to the time spent on waiting for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

import numpy as np

from ramify.backend.radix.eviction import evictable
from ramify.backend.radix.history import HOT, History
from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import IntArray

_WORTH = np.array([1.0, 2.1, 2.7, 3.3, 11.0])  # used once, twice, and so on; the last is hot
# Worth rises up to an age, in usual times, to so many times what it was, and then falls as one over
# the age. It rises only where the pool holds less than comes in during so many usual times: who
# cannot keep all until they are due prefers those that have waited; else what is overdue goes.
_DUE, _RISE, _HELD = 0.9, 2.2, 1.4

Entry = tuple[int, int, Node]  # last use, number of the entry, node


def kind_of(node: Node) -> int:
    """Which of the classes of `_WORTH` a node belongs to."""
    return min(node.uses, HOT) - 1


class WorthOrder:
    """Least worth first, and among equals the least recent use.

    All leaves of one class and one range of ages are worth the same, so they are kept by class in
    the order of their last use. Within a class worth rises with the age and then falls, so the
    least is at one of its ends: a victim is found by looking at two of each class.
    """

    grain: int | None = None

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._history = History(capacity)
        self.visit = self._history.visit
        self._every = max(1, capacity // 8)  # tokens after which the usual time is asked anew
        self._due = 0
        self._edges = [int(edge) for edge in self._history.edges]
        self._worth: list[list[float]] = []  # of a leaf, by class and range of ages
        self._leaves: list[list[Entry]] = [[] for _ in _WORTH]
        self._held = self._entries = 0
        self._limit = 64

    def push(self, node: Node) -> None:
        self._entries += 1
        node.queued = self._entries  # an earlier entry of the node is not valid any more
        insort(self._leaves[kind_of(node)], (node.last_use, self._entries, node))
        self._held += 1
        if self._held > self._limit:
            self._leaves = [[e for e in leaves if _valid(e)] for leaves in self._leaves]
            self._held = sum(map(len, self._leaves))
            self._limit = 64 + 2 * self._held

    def pop(self, now: int) -> Node | None:
        if now >= self._due:
            self._weigh(now)
        best: tuple[float, int, int] | None = None  # worth, class, minus the range of ages
        found = 0
        for kind, leaves in enumerate(self._leaves):
            for at in self._ends(leaves, now):
                age = bisect_right(self._edges, now - leaves[at][0]) - 1
                cell = self._worth[kind][age], kind, -age
                if best is None or cell < best:
                    best, found = cell, at
        if best is None:
            return None
        _, _, node = self._leaves[best[1]].pop(found)
        self._held -= 1
        node.queued = 0
        return node

    def _ends(self, leaves: list[Entry], now: int) -> list[int]:
        """Where the oldest of a class is, and the oldest in the range of ages of the youngest."""
        while leaves and not _valid(leaves[-1]):
            leaves.pop()
            self._held -= 1
        if not leaves:
            return []
        older = bisect_right(self._edges, now - leaves[-1][0])  # the range behind
        first = now - self._edges[older] + 1 if older < len(self._edges) else 0
        found = []
        for last_use in (0, first):
            at = bisect_left(leaves, (last_use,)) if last_use > 0 else 0
            while not _valid(leaves[at]):
                del leaves[at]
                self._held -= 1
            found.append(at)
        return found

    def seen(self, salt: str, tokens: IntArray, now: int) -> list[tuple[int, int]]:
        return self._history.saw(salt, tokens, now)

    def _weigh(self, now: int) -> None:
        """Ask anew what each range of ages is worth, class by class."""
        self._due = now + self._every
        usual = self._history.usual()
        ages = np.maximum(self._history.edges / usual, 1e-9)
        rise = _RISE if self._capacity < _HELD * usual else 1.0
        shape = np.where(
            ages < _DUE, 1 + (rise - 1) * ages / _DUE, rise * _DUE / np.maximum(ages, _DUE)
        )
        self._worth = np.outer(_WORTH, shape).tolist()

    def __iter__(self) -> Iterator[Node]:
        return (entry[-1] for leaves in self._leaves for entry in leaves if _valid(entry))

    def check(self) -> None:
        self._history.check()
        assert self._held == sum(map(len, self._leaves)) <= self._limit, "old entries are kept"
        numbers: list[int] = []
        for leaves in self._leaves:
            order = [entry[:2] for entry in leaves]
            assert order == sorted(order), "a class is not in the order of its last uses"
            for entry in filter(_valid, leaves):
                assert entry[0] == entry[-1].last_use, "a leaf stands where it was used before"
                numbers.append(entry[1])
        assert len(numbers) == len(set(numbers)), "a leaf is there twice"


def _valid(entry: Entry) -> bool:
    _, number, node = entry
    return node.queued == number and evictable(node)
