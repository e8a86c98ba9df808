"""How many rows may be open so that a server's prefix cache holds what they have begun."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass


@dataclass(slots=True)
class _Open:
    number: int
    tokens: int
    shared: int  # of these tokens: with the open row before it


class Room:
    """Lets rows in, in their order, while the union of what they need fits into a cache.

    Rows come in an order in which those that share most stand next to each other, so the union is
    the sum of what each adds to the open row before it. A row that is larger than the cache is let
    in alone: nobody waits for ever.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.used = 0
        self._open: list[_Open] = []
        self._behind = 0  # tokens that the last row let in shares with the last one still open
        self._changed = asyncio.Event()

    def fits(self, tokens: int, shared: int) -> bool:
        """Whether a row fits that shares `shared` of its tokens with the last one let in."""
        return not self._open or self.used + tokens - self._shared(tokens, shared) <= self.tokens

    async def enter(self, number: int, tokens: int, shared: int) -> None:
        """Wait until the row fits; numbers ascend. One row waits at a time."""
        while not self.fits(tokens, shared):
            self._changed.clear()
            await self._changed.wait()
        row = _Open(number, tokens, self._shared(tokens, shared))
        self.used += row.tokens - row.shared
        self._open.append(row)
        self._behind = tokens

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

    def _shared(self, tokens: int, shared: int) -> int:
        return min(tokens, shared, self._behind) if self._open else 0

    def check(self) -> None:
        """Raise AssertionError where the count is wrong, or more is open than fits."""
        assert self.used == sum(row.tokens - row.shared for row in self._open)
        assert self.used <= self.tokens or len(self._open) == 1
        assert all(0 <= row.shared <= row.tokens for row in self._open)
