"""Which KV slots are free: runs of neighbouring slots, so that what belongs together lies together.

A slot is one token's place in every layer. The allocator works on runs, never on single slots:
its cost grows with the number of runs, not of tokens.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
NO_SLOTS: IntArray = np.empty(0, np.int64)


def runs_of(slots: IntArray) -> list[tuple[int, int]]:
    """Maximal runs (start, stop) of consecutive numbers, in the order given."""
    if not len(slots):
        return []
    breaks = np.flatnonzero(np.diff(slots) != 1) + 1
    starts = slots[np.concatenate(([0], breaks))]
    stops = slots[np.concatenate((breaks - 1, [len(slots) - 1]))] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


class SlotAllocator:
    """Hands out slots `0..capacity-1`: best fit by run, neighbours merged when they come back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._sizes = [(capacity, 0)] if capacity else []  # (length, start) of free runs, sorted
        self._length = {0: capacity} if capacity else {}  # start -> length
        self._start = {capacity: 0} if capacity else {}  # stop -> start
        self._used = np.zeros(capacity, np.bool_)
        # Log-probability of the token in a slot, after those before it; NaN where nobody asked.
        self.logprobs = np.full(capacity, np.nan, np.float32)

    @property
    def used(self) -> int:
        """Slots that are handed out."""
        return self.capacity - self.free

    def take(self, count: int, *, near: int = -1) -> IntArray:
        """`count` slots, in as few runs as can be; the first run begins at `near` if it is free.

        Raises ValueError where there are fewer free slots.
        """
        if count > self.free:
            raise ValueError(f"{count} slots wanted, {self.free} free")
        parts = []
        while count:
            start = near if near in self._length else self._best(count)
            near = -1
            length = min(count, self._length[start])
            self._cut(start, length)
            parts.append(np.arange(start, start + length, dtype=np.int64))
            count -= length
        slots = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else NO_SLOTS
        self._used[slots] = True
        self.logprobs[slots] = np.nan
        self.free -= len(slots)
        return slots

    def give(self, slots: IntArray) -> None:
        """Take slots back. Raises ValueError for a slot that is free already."""
        if not self._used[slots].all():
            raise ValueError("a slot was given back that is free already")
        self._used[slots] = False
        self.free += len(slots)
        for start, stop in runs_of(np.sort(slots)):
            if stop in self._length:  # the free run behind
                stop += self._remove(stop)
            if start in self._start:  # the free run before
                before = self._start[start]
                self._remove(before)
                start = before
            self._insert(start, stop - start)

    def _best(self, count: int) -> int:
        """The start of the smallest run that holds `count`, else of the largest run."""
        at = bisect_left(self._sizes, (count, -1))
        return self._sizes[at if at < len(self._sizes) else -1][1]

    def _cut(self, start: int, length: int) -> None:
        whole = self._remove(start)
        if whole > length:
            self._insert(start + length, whole - length)

    def _insert(self, start: int, length: int) -> None:
        insort(self._sizes, (length, start))
        self._length[start] = length
        self._start[start + length] = start

    def _remove(self, start: int) -> int:
        length = self._length.pop(start)
        del self._start[start + length]
        del self._sizes[bisect_left(self._sizes, (length, start))]
        return length

    def check(self) -> None:
        """Raise AssertionError where the runs, the map and the count disagree."""
        free = np.ones(self.capacity, np.bool_)
        last_stop = -1
        for start, length in sorted(self._length.items()):
            assert length > 0 and start > last_stop, "free runs overlap or touch"
            last_stop = start + length
            free[start:last_stop] = False
            assert self._start[last_stop] == start
        assert (free == self._used).all(), "the runs are not the complement of the used slots"
        assert self.free == self.capacity - int(self._used.sum())
        assert self._sizes == sorted((length, start) for start, length in self._length.items())
