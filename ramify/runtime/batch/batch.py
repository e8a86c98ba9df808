"""Running one program over many rows.

Rows are traced a window ahead, ordered so that rows with equal prompt beginnings run next to each
other, and let go `concurrency` at a time, and no more than the prefix caches hold (see `Room`) of
backends that say how large these are. Where a row had to wait for room, or no backend says, rows
that have begun go before those that have not. Equal deterministic work of rows under way is done
once. Without optimization (`Policy(optimize=False)`) rows go as they come, `concurrency` at
a time. They are read on a thread of their own (see `Reader`), a window when the one before it has
gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

from ramify.backend.contract import Backend
from ramify.errors import ProgramError
from ramify.planner import order_rows
from ramify.runtime.batch.needs import Needs
from ramify.runtime.batch.reader import Reader
from ramify.runtime.batch.row import Row
from ramify.runtime.batch.turns import Turns
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
        for name, value in (("concurrency", self.concurrency), ("window", self.window)):
            if type(value) is not int or value < 1:
                raise ProgramError(
                    f"{name}={value!r} is not allowed.", hint="A whole number from 1 up."
                )


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
        self._needs = needs = Needs(backends if policy.optimize else {})
        self._turns = Turns(options.concurrency, lambda: needs.tight) if policy.optimize else None
        self._numbers = count()

    async def run(self, tasks: Iterable[Task]) -> None:
        """Run all tasks; a failed row is a result with its failure, and stops nobody else."""
        try:
            with fewer_collections():
                async with asyncio.TaskGroup() as group:
                    await self._run(tasks, group)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, tasks: Iterable[Task], group: asyncio.TaskGroup) -> None:
        few = self.options.concurrency <= _FIRST_PART
        part = self.options.window if few else _FIRST_PART
        with Reader(enumerate(tasks)) as reader:
            while window := self._rows(await reader.take(self.options.window)):
                beside = min(len(window), self.options.concurrency) - 1
                for row in window:
                    row.run.load.beside = beside
                while window:
                    ready = await self._traced(window[:part], group)
                    window = window[part:]
                    part *= 2
                    if window and not self._needs.fit([row.need for row in ready]):
                        # the order matters, and over more rows there is a better one
                        ready = self._ordered(ready + await self._traced(window, group))
                        window = []
                    await self._let_go(ready)

    async def _traced(self, rows: list[Row], group: asyncio.TaskGroup) -> list[Row]:
        """Trace rows, and put them in order; those that take too long go last."""
        for row in rows:
            row.work = group.create_task(self._drive(row))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                for row in rows:
                    await row.at_gate.wait()
        return self._ordered(rows)

    async def _let_go(self, rows: list[Row]) -> None:
        """Open rows in order as there is room for them."""
        for row in rows:
            await self._slots.acquire()
            row.number = next(self._numbers)
            await self._needs.enter(row.number, row.need)
            if self._turns is not None:
                self._turns.open(row.number)
                row.run.turn = partial(self._turns.priority, row.number)
            row.open.set()

    def _close(self, row: Row) -> None:
        """Make room for others."""
        if self._turns is not None:
            self._turns.close(row.number)
        self._needs.leave(row.number, row.need)
        self._slots.release()

    def _rows(self, numbered: Iterable[tuple[int, Task]]) -> list[Row]:
        rows = []
        for index, task in numbered:
            run = Run(task.graph, self.backends, self.policy, shared=self.shared)
            row = Row(index, task, run)
            run.gate = row.gate
            rows.append(row)
        return rows

    def _ordered(self, rows: list[Row]) -> list[Row]:
        here = [row for row in rows if row.at_gate.is_set()]
        late = [row for row in rows if not row.at_gate.is_set()]
        if self.policy.optimize and here:
            order = order_rows([row.task.graph for row in here], here[0].run.context)
            here = [here[i] for i in order]
            for row, need in zip(here, self._needs.of([r.task.graph for r in here]), strict=True):
                row.need = need
        return here + late

    async def _drive(self, row: Row) -> None:
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
        self._close(row)
        self.done(row.index, result)
