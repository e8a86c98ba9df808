"""One backend of a fleet: what its cache holds, how busy it is, and whether it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from ramify.backend.contract import Backend
from ramify.backend.mirror import Mirror


class Breaker:
    """A circuit breaker: after failures in a row nothing is sent for a while, then one trial.

    The pause doubles with every failed trial, up to a minute.
    """

    def __init__(
        self,
        failures: int = 3,
        pause_s: float = 0.5,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._allowed = failures
        self._first_pause = pause_s
        self._clock = clock
        self._pause = pause_s
        self._row = 0  # failures
        self._until = 0.0
        self._trial = False
        self.reason = ""  # of the last failure

    @property
    def closed(self) -> bool:
        """Whether everything is well."""
        return self._row < self._allowed

    def lets(self) -> bool:
        """Whether a request may be sent now; an open breaker lets one through after its pause."""
        return self.closed or (not self._trial and self._clock() >= self._until)

    def sent(self) -> None:
        """A request is sent."""
        self._trial = not self.closed

    def worked(self) -> None:
        """A request was answered."""
        self._row, self._pause, self._trial = 0, self._first_pause, False

    def failed(self, reason: str, *, at_once: bool = False) -> None:
        """A request failed by the backend's fault; `at_once`: it is surely gone."""
        trial = self._trial
        self._row = max(self._row + 1, self._allowed if at_once else 0)
        self._trial = False
        self.reason = reason
        if not self.closed:
            self._until = self._clock() + self._pause
            if trial:
                self._pause = min(60.0, self._pause * 2)

    def withdrawn(self) -> None:
        """A request ended without saying anything about the backend."""
        self._trial = False


class Replica:
    """A backend and what the router knows of it."""

    def __init__(self, backend: Backend, mirror: Mirror, breaker: Breaker) -> None:
        self.backend = backend
        self.mirror = mirror
        self.breaker = breaker
        self.draining = False
        self.active = 0  # requests
        self.load = 0  # prompt tokens to compute and answer tokens to write, of active requests
        self.served = 0  # requests
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def open(self) -> bool:
        """Whether a new request may be sent to it."""
        return not self.draining and self.breaker.lets()

    def begin(self, work: int) -> None:
        """A request of so many tokens goes to it."""
        self.active += 1
        self.load += work
        self._idle.clear()
        self.breaker.sent()

    def end(self, work: int) -> None:
        """It is done with it, in whatever way."""
        self.active -= 1
        self.load -= work
        self.served += 1
        if not self.active:
            self._idle.set()

    async def drained(self) -> None:
        """Return when nothing is under way."""
        await self._idle.wait()
