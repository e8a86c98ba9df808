"""The thread that owns the model; asyncio talks to it by queues.

Commands go in one way, results come out the other: at the end of each step all of them at once,
one wake-up per event loop. When the thread dies, everyone who waits gets the cause at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from ramify.backend.contract import Delta, Scores, Usage
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.jobs import Job
from ramify.errors import BackendDiedError, BackendError

T = TypeVar("T")
_HOLD_S = 0.033  # seconds: thirty pieces a second are a stream to the eye
Output = Delta | Scores | Usage | BaseException


class Channel:
    """What one request gets back: written by the worker, read in the loop that made it."""

    def __init__(self, worker: Worker) -> None:
        self.loop = asyncio.get_running_loop()
        self.items: asyncio.Queue[Output] = asyncio.Queue()
        self.job: Job | None = None  # who fills: the worker
        self._worker = worker

    def sink(self, item: Output) -> None:
        """Called by the engine, in the worker's thread."""
        self._worker.outbox.append((self, item))

    async def get(self) -> Delta | Scores | Usage:
        """The next result. Raises what the engine gave in place of one."""
        item = await self.items.get()
        if isinstance(item, BaseException):
            raise item
        return item


@dataclass(frozen=True, slots=True)
class _Command:
    """Something to do in the thread, and whom to tell if it will never be done."""

    run: Callable[[], None]
    abandon: Callable[[BaseException], None] | None = None


class Worker:
    """Runs an engine in a thread of its own."""

    def __init__(self, engine: Engine, name: str, prepare: Callable[[], None]) -> None:
        """`prepare` is called first of all in the thread."""
        self.outbox: list[tuple[Channel, Output]] = []
        self._engine = engine
        self._name = name
        self._prepare = prepare
        self._inbox: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards `_dead` against the inbox
        self._dead: BackendError | None = None
        self._closing = False
        self._flushed = 0.0
        self._thread = threading.Thread(target=self._run, name=f"ramify:{name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job, channel: Channel) -> None:
        """Give a job to the engine. Raises BackendDiedError if the thread is no more."""
        channel.job = job
        self._send(_Command(lambda: self._engine.submit(job), job.sink))

    def cancel(self, job: Job) -> None:
        """Stop a job, if it is not done; after the thread's end there is nothing to stop."""
        with self._lock:
            if self._dead is None:
                self._inbox.put(_Command(lambda: self._engine.cancel(job)))

    def call(self, function: Callable[[Engine], T]) -> Future[T]:
        """Run a function in the thread, between two steps."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function(self._engine))
            except Exception as error:
                future.set_exception(error)

        self._send(_Command(run, future.set_exception))
        return future

    def close(self) -> None:
        """Stop after the current step; whoever waits gets an error. Does not wait."""
        with self._lock:
            self._closing = True
            self._inbox.put(_Command(lambda: None))

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if threading.current_thread() is not self._thread:  # the collector may call from anywhere
            self._thread.join()

    def _send(self, command: _Command) -> None:
        with self._lock:
            if self._dead is not None:
                raise self._gone()
            self._inbox.put(command)

    def _gone(self) -> BackendError:
        assert self._dead is not None
        error = BackendDiedError(self._dead.what, hint=self._dead.hint)
        error.__cause__ = self._dead.__cause__
        return error

    def _run(self) -> None:
        cause: BaseException | None = None
        try:
            self._prepare()
            while not self._closing:
                self._drain()
                if self._engine.busy and not self._closing:
                    self._engine.step()
                self._flush()
        except BaseException as error:  # whatever it was: those who wait must hear of it
            cause = error
        self._end(cause)

    def _drain(self) -> None:
        """Do what has been asked for; wait for it while there is nothing else to do."""
        if not self._engine.busy:
            self._inbox.get().run()
        while not self._closing:
            try:
                command = self._inbox.get_nowait()
            except queue.Empty:
                return
            command.run()

    def _end(self, cause: BaseException | None) -> None:
        if cause is None:
            dead = BackendDiedError(f"the backend {self._name!r} was closed.")
        else:
            dead = BackendDiedError(
                f"the backend {self._name!r} died: {type(cause).__name__}: "
                f"{str(cause).rstrip('.')}.",
                hint="Open it again.",
            )
            dead.__cause__ = cause
        with self._lock:
            self._dead = dead
        for job in self._engine.jobs:
            job.sink(self._gone())
        while not self._inbox.empty():  # nothing comes in any more
            abandon = self._inbox.get().abandon
            if abandon is not None:
                abandon(self._gone())
        self._flush(now=True)

    def _flush(self, *, now: bool = False) -> None:
        """Hand the results to the loops that wait for them.

        Pieces of running streams are held for up to `_HOLD_S`: a loop that wakes at every step
        takes the interpreter, and a core, from the model.
        """
        if not self.outbox:
            return
        clock = monotonic()
        held = clock - self._flushed < _HOLD_S and self._engine.busy
        if held and not now and all(_goes_on(item) for _, item in self.outbox):
            return
        self._flushed = clock
        by_loop: dict[Any, list[tuple[Channel, Output]]] = defaultdict(list)
        for channel, item in self.outbox:
            by_loop[channel.loop].append((channel, item))
        self.outbox.clear()
        for loop, items in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:  # the loop is closed, and whoever waited there is gone
                for channel, _ in items:
                    if channel.job is not None:
                        self._engine.cancel(channel.job)


def _goes_on(item: Output) -> bool:
    """Whether more of the same stream will follow."""
    return isinstance(item, Delta) and item.finish is None


def _deliver(items: list[tuple[Channel, Output]]) -> None:
    for channel, item in items:
        channel.items.put_nowait(item)
