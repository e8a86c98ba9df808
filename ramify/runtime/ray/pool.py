"""Actors that each hold an engine, and the rows that go to them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeGuard

from ramify.errors import BackendDiedError, ProgramError
from ramify.runtime.policy import Policy
from ramify.runtime.ray.options import RayOptions
from ramify.runtime.ray.partition import Row, chunks
from ramify.runtime.result import Result

RowDone = Callable[[int, Result], None]
Backends = str | Mapping[str, str]


class BatchProgram(Protocol):
    """What runs in an actor: a program of the language above."""

    name: str

    @property
    def run_batch(self) -> Callable[..., Any]:
        """Run over rows."""
        ...


class Worker:
    """Runs in an actor: one engine, opened once, and rows as they come."""

    def __init__(self, program: BatchProgram, backend: Backends, options: Mapping[str, Any]):
        self._program = program
        self._backend = backend
        self._options = dict(options)

    def run(self, rows: list[Row]) -> list[tuple[int, Result]]:
        """The results of rows, by their numbers."""
        arguments = [row for _, row in rows]
        found = self._program.run_batch(arguments, backend=self._backend, **self._options)
        return [(rows[index][0], result) for index, result in found.by_row.items()]


@dataclass(slots=True, eq=False)
class _Chunk:
    rows: list[Row]
    lost: int = 0  # times that its actor died


@dataclass(slots=True, eq=False)
class _Lane:
    """An actor, what waits for it, and what it has been given."""

    actor: Any
    waiting: deque[_Chunk] = field(default_factory=deque)
    given: dict[Any, _Chunk] = field(default_factory=dict)


def run_on_ray(
    program: BatchProgram,
    rows: Iterable[Row],
    backend: object,
    done: RowDone,
    *,
    policy: Policy,
    concurrency: int,
    options: RayOptions,
) -> None:
    """Run all rows; `done(number, result)` is called in this thread, once for each row.

    `backend` is the name of one, or names under names; None is what RAMIFY_BACKEND says. Raises
    ProgramError where Ray is missing or a backend is not named by a string.
    """
    if importlib.util.find_spec("ray") is None:
        raise ProgramError("Ray is not installed here.", hint="pip install 'ramify[ray]'.")
    backend = os.environ.get("RAMIFY_BACKEND") if backend is None else backend
    if not _spelled(backend):
        raise ProgramError(
            "on Ray every actor opens its own backend, so it must be named by a string.",
            hint='Pass backend="vllm:PATH", for example.',
        )
    ray = importlib.import_module("ray")
    started = not ray.is_initialized()
    if started:
        given = {"include_dashboard": False, "log_to_driver": False, **options.init}
        if options.address is not None:
            given.pop("include_dashboard")
        ray.init(address=options.address, **given)
    try:
        with _by_value(ray, program):
            pool = _Pool(ray, program, backend, policy, concurrency, options)
            try:
                pool.run(rows, done)
            finally:
                pool.close()
    finally:
        if started:
            ray.shutdown()


class _Pool:
    """The actors of one batch."""

    def __init__(
        self,
        ray: Any,
        program: BatchProgram,
        backend: Backends,
        policy: Policy,
        concurrency: int,
        options: RayOptions,
    ) -> None:
        self._ray = ray
        self._options = options
        self._program = program.name
        kind = ray.remote(Worker).options(num_cpus=options.num_cpus, num_gpus=options.num_gpus)
        settings = {"policy": policy, "concurrency": concurrency}
        start: Callable[..., Any] = kind.remote
        self._start = partial(start, program, backend, settings)
        self._lanes = [_Lane(self._start()) for _ in range(options.workers)]

    def run(self, rows: Iterable[Row], done: RowDone) -> None:
        """Give rows out as actors take them, and results as they come."""
        options = self._options
        windows: Iterator[Any] = chunks(
            rows, size=options.chunk, window=options.window, parts=options.workers
        )
        more = True
        while True:
            while more and any(len(lane.waiting) < options.ahead for lane in self._lanes):
                window = next(windows, None)
                if window is None:
                    more = False
                    break
                for lane, part in zip(self._lanes, window, strict=False):
                    lane.waiting.extend(_Chunk(one) for one in part)
                if all(lane.waiting for lane in self._lanes):
                    break
            self._give()
            refs = [ref for lane in self._lanes for ref in lane.given]
            if not refs:
                return
            ready, _ = self._ray.wait(refs, num_returns=1)
            self._take(ready[0], done)

    def _give(self) -> None:
        """Fill every actor up; one that has nothing left takes from the end of the longest."""
        for lane in self._lanes:
            while len(lane.given) < self._options.ahead:
                source = lane if lane.waiting else max(self._lanes, key=lambda x: len(x.waiting))
                if not source.waiting:
                    break
                chunk = source.waiting.popleft() if source is lane else source.waiting.pop()
                lane.given[lane.actor.run.remote(chunk.rows)] = chunk

    def _take(self, ref: Any, done: RowDone) -> None:
        lane = next(lane for lane in self._lanes if ref in lane.given)
        errors = self._ray.exceptions
        try:
            found = self._ray.get(ref)
        except errors.RayTaskError as error:  # our own code raised: wrong use, not a lost row
            raise error.as_instanceof_cause() from None
        except (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError) as error:
            self._replace(lane, error, done)
            return
        del lane.given[ref]
        for number, result in found:
            done(number, result)

    def _replace(self, lane: _Lane, error: Exception, done: RowDone) -> None:
        """Start a lost actor again. Nothing of its chunks was counted, so they run again whole."""
        lost = list(lane.given.values())
        lane.given.clear()
        lane.actor = self._start()
        if lost:
            lost[0].lost += 1  # the one that ran
        for chunk in reversed(lost):
            if chunk.lost <= self._options.restarts:
                lane.waiting.appendleft(chunk)
                continue
            for number, _ in chunk.rows:
                reason = BackendDiedError(
                    f"its worker died {chunk.lost} times ({str(error).splitlines()[0]}).",
                    hint="Give the workers more memory, or lower concurrency.",
                )
                done(number, Result(self._program, None, failure=reason))

    def close(self) -> None:
        """Stop the actors."""
        for lane in self._lanes:
            self._ray.kill(lane.actor, no_restart=True)


def _spelled(backend: object) -> TypeGuard[Backends]:
    if isinstance(backend, Mapping):
        return bool(backend) and all(isinstance(one, str) for one in backend.values())
    return isinstance(backend, str)


@contextmanager
def _by_value(ray: Any, program: BatchProgram) -> Iterator[None]:
    """Send the module of a program along: actors cannot import a script by its name."""
    name = getattr(getattr(program, "function", None), "__module__", "")
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or ""
    if module is None or "site-packages" in file or name.startswith(("ramify.", "__main__")):
        yield
        return
    ray.cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        ray.cloudpickle.unregister_pickle_by_value(module)
