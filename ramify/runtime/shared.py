"""Equal work of different rows of a batch, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from ramify.backend.contract import Usage
from ramify.ir import Node
from ramify.runtime.outcome import Outcome
from ramify.runtime.work import perform

if TYPE_CHECKING:
    from ramify.runtime.run import Run


class SharedWork:
    """Outcomes by work key, for the rows that are under way together.

    Only deterministic work has a key (`planner.work_keys`). A row whose leader fails or is
    cancelled does the work itself. `limit` bounds the memory: the oldest outcomes go first.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.limit = limit
        self.merged = 0
        self._futures: dict[Hashable, asyncio.Future[Outcome]] = {}

    async def perform(self, run: Run, node: Node) -> Outcome:
        """Do the work, or wait for the row that does it."""
        key = run.keys.get(node.id)
        if key is None:
            return await perform(run, node)
        leader = self._futures.get(key)
        if leader is not None:
            await asyncio.wait([leader])
            if not leader.cancelled() and leader.exception() is None:
                self.merged += 1
                return replace(leader.result(), status="merged", usage=Usage())
            return await perform(run, node)
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._remember(key, mine)
        try:
            outcome = await perform(run, node)
        except BaseException:
            self._futures.pop(key, None)
            mine.cancel()
            raise
        mine.set_result(outcome)
        return outcome

    def _remember(self, key: Hashable, future: asyncio.Future[Outcome]) -> None:
        while len(self._futures) >= self.limit:
            self._futures.pop(next(iter(self._futures)))
        self._futures[key] = future
