"""One row of a batch under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ramify.runtime.batch.room import Need
from ramify.runtime.run import Run
from ramify.runtime.task import Task


@dataclass(slots=True)
class Row:
    """A row: held at its gate from its first look at a value until it is opened."""

    index: int
    task: Task
    run: Run
    at_gate: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None
    number: int = -1  # in the order of opening; the batch fills it
    need: Mapping[str, Need] = field(default_factory=dict)  # the batch fills it

    async def gate(self) -> None:
        """Hold the run at its first look at a value, or at its end."""
        self.at_gate.set()
        await self.open.wait()
        self.run.gate = None
