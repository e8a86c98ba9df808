"""One branch per item.

Bodies are traced one after the other, so the graph is the same each time; a body that looks at a
value waits on a thread of its own while the next one is traced.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ramify.dsl.branches import Branches, EachBranches
from ramify.dsl.look import before_blocking
from ramify.dsl.state import State
from ramify.dsl.value import Value
from ramify.errors import ProgramError
from ramify.ir import Branch, Each, Ways
from ramify.runtime.threads import start
from ramify.runtime.user_code import is_async

Body = Callable[..., Any]


def each(
    state: State, items: Any, body: Body, limit: int | None, ways: Ways | None = None
) -> Branches | EachBranches:
    """See State.each; with `ways`, the one branch is written in the way that is chosen."""
    trace = state._trace
    name = getattr(body, "__name__", "each").strip("<>")
    if limit is not None and limit < 1:
        where = trace.where()
        raise ProgramError(f"limit={limit} is not allowed.", hint="At least 1.", where=where)
    if isinstance(items, str) or not isinstance(items, (Value, list, tuple, EachBranches)):
        if isinstance(items, str) or not hasattr(items, "__iter__"):
            raise ProgramError(
                f"each needs a list or a value with items, not {type(items).__name__}.",
                where=trace.where(),
            )
        items = list(items)
    known = not isinstance(items, (Value, EachBranches))
    if known and ways is None and not is_async(body):
        states = _states(state, name, len(items[:limit]))
        trace_bodies(states, items[:limit], body)
        return Branches(state, states)
    return _later(state, items, body, limit, name, ways)


def _later(
    state: State, items: Any, body: Body, limit: int | None, name: str, ways: Ways | None
) -> EachBranches:
    trace = state._trace

    def grow(known: Sequence[Any]) -> tuple[Branch, ...]:
        states = _states(fork_point, name, len(known))
        with trace.active():
            trace_bodies(states, known, body)
        return tuple(branch.as_branch() for branch in states)

    async def agrow(known: Sequence[Any]) -> tuple[Branch, ...]:
        states = _states(fork_point, name, len(known))
        with trace.active():
            async with asyncio.TaskGroup() as group:
                for branch, item in zip(states, known, strict=True):
                    group.create_task(body(branch, item))
        return tuple(branch.as_branch() for branch in states)

    # the state may grow on; branches start from what it is now
    fork_point = State(trace, state._prompt, state._scope, state)
    node_id = trace.graph.next_id()
    trace.graph.add(
        Each(
            id=node_id,
            name=name,
            scope=state._scope,
            items=trace.lower(items),
            start=fork_point._prompt,
            grow=agrow if is_async(body) else grow,
            limit=limit,
            ways=ways,
        )
    )
    return EachBranches(trace, state, node_id, name)


def _states(state: State, name: str, count: int) -> list[State]:
    return [state._branch(f"{name}[{i}]") for i in range(count)]


def trace_bodies(states: Sequence[State], items: Sequence[Any], body: Body) -> None:
    """Trace `body(branch, item)` for each pair; raises the first error, in the order of items."""
    if len(states) == 1:
        _trace(body, states[0], items[0])
        return
    jobs = [_Traced(body, branch, item) for branch, item in zip(states, items, strict=True)]
    for job in jobs:
        job.begin()
    for job in jobs:
        job.done.wait()
    for job in jobs:
        if job.error is not None:
            raise job.error


def _trace(body: Body, branch: State, item: Any) -> None:
    found = body(branch, item)
    if inspect.iscoroutine(found):  # of a function that only calls an async one
        found.close()
        raise ProgramError(
            f"{body!r} gives a coroutine, but is not async itself.",
            hint="Give s.each the async function.",
            where=branch._trace.where(),
        )


class _Traced:
    """One body on its own thread."""

    def __init__(self, body: Body, branch: State, item: Any) -> None:
        self.body = body
        self.branch = branch
        self.item = item
        self.moved_on = threading.Event()  # the body has ended, or is about to wait for a value
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.context = contextvars.copy_context()

    def begin(self) -> None:
        """Start the body; returns when it has ended or waits."""
        start(lambda: self.context.run(self._run))
        self.moved_on.wait()

    def _run(self) -> None:
        before_blocking.set(self.moved_on.set)
        try:
            _trace(self.body, self.branch, self.item)
        except BaseException as error:  # raised again by trace_bodies
            self.error = error
        finally:
            self.done.set()
            self.moved_on.set()
