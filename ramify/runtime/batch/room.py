"""How many rows may be open so that a server's prefix cache holds what they have begun."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """Tokens that a row holds, on the average of its run and at most, and how many of these its
    beginning has in common with the row before it."""

    mean: int
    peak: int
    shared: int = 0


@dataclass(slots=True)
class _Open:
    number: int
    tokens: int
    shared: int  # of these tokens: with the open row before it


class Room:
    """Lets rows in, in their order, while a cache holds what they need together.

    Rows are at different places of their programs, so a row counts as what it holds on the average,
    and one is let in if there is room for the most that it will hold. Where several want their most
    at once, calls wait in the server. Rows come in an order in which those that share most stand
    next to each other, so what they hold together is the sum of what each adds to the open row
    before it. A row that is larger than the cache is let in alone: nobody waits for ever.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.used = 0
        self._open: list[_Open] = []
        self._behind = 0  # tokens that the last row let in shares with the last one still open
        self._changed = asyncio.Event()
        self.was_full = False  # whether a row had to wait

    def fits(self, need: Need) -> bool:
        """Whether a row fits that follows the last one let in."""
        return not self._open or self.used + need.peak - self._shared(need) <= self.tokens

    async def enter(self, number: int, need: Need) -> None:
        """Wait until the row fits; numbers ascend. One row waits at a time."""
        while not self.fits(need):
            self.was_full = True
            self._changed.clear()
            await self._changed.wait()
        row = _Open(number, need.mean, self._shared(need))
        self.used += row.tokens - row.shared
        self._open.append(row)
        self._behind = need.mean

    def leave(self, number: int) -> None:
        """The row has ended; what it shared with its neighbours, they share now."""
        at = bisect_left(self._open, number, key=lambda row: row.number)
        row = self._open.pop(at)
        self.used -= row.tokens - row.shared
        if at < len(self._open):
            after = self._open[at]
            common = min(after.shared, row.shared)
            self.used += after.shared - common
            after.shared = common
        else:
            self._behind = min(self._behind, row.shared)
        self._changed.set()

    def _shared(self, need: Need) -> int:
        return min(need.mean, need.shared, self._behind) if self._open else 0

    def check(self) -> None:
        """Raise AssertionError where the count is wrong, or more is open than fits."""
        assert self.used == sum(row.tokens - row.shared for row in self._open)
        assert self.used <= self.tokens or len(self._open) == 1
        assert all(0 <= row.shared <= row.tokens for row in self._open)
