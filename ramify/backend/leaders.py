"""Leader first: of requests that share a beginning which nobody computed yet, one goes ahead.

Engines find a prefix in their cache once it is computed; siblings that arrive together would each
compute it. Here the followers wait until the leader's first token says that the prefix is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ramify.backend.mirror import Mirror


class Ticket:
    """A request under way. `first()` says that its prompt is computed."""

    __slots__ = ("_leaders", "_names", "_own", "done", "leads")

    def __init__(self, leaders: Leaders, names: list[int], own: list[int]) -> None:
        self._leaders = leaders
        self._names = names
        self._own = own  # blocks that it is the first to compute
        self.leads = bool(own)
        self.done = asyncio.Event()

    def first(self) -> None:
        """The first token is there, so the whole prompt is in the cache. Calling twice is fine."""
        if not self.done.is_set():
            self._leaders.mirror.add(self._names)
            self.end()

    def end(self) -> None:
        """Let the followers go on; without `first` one of them leads."""
        self._leaders.release(self._own)
        self.done.set()


class Leaders:
    """Who computes which block now, and what was computed before.

    A request waits for a leader only if that spares at least `least` tokens.
    """

    def __init__(self, mirror: Mirror | None = None, *, least: int = 64) -> None:
        self.mirror = mirror or Mirror()
        self._least = max(1, least // self.mirror.block)
        self._leading: dict[int, Ticket] = {}
        self.waited = 0  # requests that followed somebody

    @asynccontextmanager
    async def enter(self, ids: Sequence[int], salt: str = "") -> AsyncIterator[Ticket]:
        """Wait for a leader where there is one, then go."""
        names = self.mirror.names(ids, salt)
        followed = False
        while (leader := self._leader(names)) is not None:
            followed = True
            await leader.done.wait()
        self.waited += followed
        own = [name for name in names[self.mirror.known(names) :] if name not in self._leading]
        ticket = Ticket(self, names, own)
        for name in own:
            self._leading[name] = ticket
        try:
            yield ticket
        finally:
            ticket.end()

    def release(self, names: list[int]) -> None:
        """These blocks are computed, or will not be."""
        for name in names:
            self._leading.pop(name, None)
        names.clear()

    def _leader(self, names: list[int]) -> Ticket | None:
        """The request that computes the most of the next blocks, if that is worth waiting for."""
        at = self.mirror.known(names)
        leader: Ticket | None = None
        shared = 0
        for name in names[at:]:
            found = self._leading.get(name)
            if found is None:
                break
            leader = found
            shared += 1
        return leader if shared >= self._least else None

    def check(self) -> None:
        """Raise AssertionError where a block is led by a request that has ended."""
        assert not any(ticket.done.is_set() for ticket in self._leading.values())
