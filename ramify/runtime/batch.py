"""Running one program over many rows.

Rows are traced a window ahead, ordered so that rows with equal prompt beginnings run next to each
other, and let go `concurrency` at a time; equal deterministic work of rows under way is done once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ramify.backend.contract import Backend
from ramify.errors import ProgramError
from ramify.planner import order_rows
from ramify.runtime.collector import fewer_collections
from ramify.runtime.execute import finish
from ramify.runtime.policy import Policy
from ramify.runtime.result import Result
from ramify.runtime.run import Run
from ramify.runtime.shared import SharedWork
from ramify.runtime.task import Task

# The first rows of a batch go ahead in small parts, so that an engine with room for many does not
# wait until a whole window is traced; with fewer slots than this, the order is worth more.
_FIRST_PART = 32
# A row that takes longer than this to its first look at a value (slow code of its own) is not
# waited for: it goes last in its window.
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """`concurrency` rows at once, traced and ordered `window` rows ahead."""

    concurrency: int = 64
    window: int = 256
    explain: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.window < 1:
            raise ProgramError("concurrency and window must be at least 1.")


@dataclass(slots=True)
class _Row:
    index: int
    task: Task
    run: Run
    at_gate: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None

    async def gate(self) -> None:
        """Hold the run at its first look at a value, or at its end."""
        self.at_gate.set()
        await self.open.wait()
        self.run.gate = None


class Batch:
    """A batch under way. `done(index, result)` is called on the loop as rows finish."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        policy: Policy,
        options: BatchOptions,
        done: Callable[[int, Result], None],
    ) -> None:
        self.backends = backends
        self.policy = policy
        self.options = options
        self.done = done
        self.shared = SharedWork() if policy.optimize else None
        self._slots = asyncio.Semaphore(options.concurrency)

    async def run(self, tasks: Iterable[Task]) -> None:
        """Run all tasks; a failed row is a result with its failure, and stops nobody else."""
        try:
            with fewer_collections():
                async with asyncio.TaskGroup() as group:
                    await self._run(tasks, group)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, tasks: Iterable[Task], group: asyncio.TaskGroup) -> None:
        numbered = enumerate(tasks)
        few = self.options.concurrency <= _FIRST_PART
        part = self.options.window if few else _FIRST_PART
        while window := list(self._rows(islice(numbered, self.options.window))):
            beside = min(len(window), self.options.concurrency) - 1
            for row in window:
                row.run.load.beside = beside
            while window:
                await self._let_go(window[:part], group)
                window = window[part:]
                part *= 2

    async def _let_go(self, rows: list[_Row], group: asyncio.TaskGroup) -> None:
        """Trace rows, and let them go in order as slots come free."""
        for row in rows:
            row.work = group.create_task(self._drive(row))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                for row in rows:
                    await row.at_gate.wait()
        here = [row for row in rows if row.at_gate.is_set()]
        late = [row for row in rows if not row.at_gate.is_set()]
        for row in self._ordered(here) + late:
            await self._slots.acquire()
            row.open.set()

    def _rows(self, numbered: Iterable[tuple[int, Task]]) -> Iterator[_Row]:
        for index, task in numbered:
            run = Run(task.graph, self.backends, self.policy, shared=self.shared)
            row = _Row(index, task, run)
            run.gate = row.gate
            yield row

    def _ordered(self, rows: list[_Row]) -> list[_Row]:
        if not self.policy.optimize or len(rows) < 2:
            return rows
        return [rows[i] for i in order_rows([r.task.graph for r in rows], rows[0].run.context)]

    async def _drive(self, row: _Row) -> None:
        try:
            result = await finish(row.run, row.task, keep_plan=self.options.explain)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the row's own failure: kept with the row
            result = Result(row.task.program, None, failure=error, seconds=row.run.now())
        finally:
            row.at_gate.set()
        if not row.open.is_set():  # failed while it was traced: it never held a slot
            await row.open.wait()
        self._slots.release()
        self.done(row.index, result)
