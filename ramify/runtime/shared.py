"""Equal work of different rows of a batch, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ramify.backend.contract import Usage
from ramify.ir import Node
from ramify.runtime.outcome import Outcome
from ramify.runtime.work import perform

if TYPE_CHECKING:
    from ramify.runtime.run import Run


class SharedWork:
    """Outcomes by work key, for the rows that are under way together.

    Only deterministic work has a key (`planner.work_keys`). A row whose leader fails or is
    cancelled does the work itself. Rows get values of their own: what one of them does to its list
    or record, no other sees. `limit` bounds the memory: the oldest outcomes go first.
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
                return replace(_apart(leader.result()), status="merged", usage=Usage())
            return await perform(run, node)
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._remember(key, mine)
        try:
            outcome = await perform(run, node)
            mine.set_result(_apart(outcome))
        except BaseException:
            self._futures.pop(key, None)
            mine.cancel()
            raise
        return outcome

    def _remember(self, key: Hashable, future: asyncio.Future[Outcome]) -> None:
        while len(self._futures) >= self.limit:
            self._futures.pop(next(iter(self._futures)))
        self._futures[key] = future


def _apart(outcome: Outcome) -> Outcome:
    value = _copied(outcome.value)
    return outcome if value is outcome.value else replace(outcome, value=value)


def _copied(value: Any) -> Any:
    """A copy of what answers are parsed into: lists, dicts and models; all else is the same."""
    if type(value) is list:
        return [_copied(item) for item in value]
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        copy = value.model_copy()
        for held in (copy.__dict__, copy.__pydantic_extra__ or {}):
            held.update({key: _copied(item) for key, item in held.items()})
        return copy
    return value
