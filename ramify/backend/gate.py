"""A bounded number of requests at once; the most urgent waiting one goes next."""

from __future__ import annotations

from asyncio import CancelledError, Future, get_running_loop
from heapq import heappop, heappush
from itertools import count


class Gate:
    """Lets `limit` requests in; the others wait by priority (larger first), then by arrival."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self._waiting: list[tuple[float, int, Future[None]]] = []
        self._numbers = count()

    async def enter(self, priority: float) -> None:
        """Wait for a place; `leave` gives it back."""
        if self.inside < self.limit and not self._waiting:
            self.inside += 1
            return
        turn = get_running_loop().create_future()
        heappush(self._waiting, (-priority, next(self._numbers), turn))
        try:
            await turn
        except CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was given just before the cancellation
            raise

    def leave(self) -> None:
        """Give the place back: to the most urgent that still waits."""
        self.inside -= 1
        while self._waiting and self.inside < self.limit:
            turn = heappop(self._waiting)[2]
            if not turn.done():
                self.inside += 1
                turn.set_result(None)
