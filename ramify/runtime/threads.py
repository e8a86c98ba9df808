"""Threads for user code: made on demand, used again, never in the way of the interpreter's exit.

A program that looks at a value blocks its thread until the value is known, so the number of
threads must not be limited here (nested programs would wait for each other); what limits them is
the number of programs that are run at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

_Job = Callable[[], None]
_idle: queue.SimpleQueue[queue.SimpleQueue[_Job]] = queue.SimpleQueue()


def _begin_anew() -> None:
    """In a forked process, in which the idle threads are not."""
    global _idle
    _idle = queue.SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _serve(inbox: queue.SimpleQueue[_Job]) -> None:
    while True:
        inbox.get()()
        _idle.put(inbox)


def start(job: _Job) -> None:
    """Run a job, which must not raise, on an idle thread or a new one."""
    try:
        inbox = _idle.get_nowait()
    except queue.Empty:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), name="ramify-program", daemon=True).start()
    inbox.put(job)


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on a thread of its own, in a copy of this context, and await its result."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        elif isinstance(error, StopIteration):
            done.set_exception(RuntimeError("the function raised StopIteration"))
        else:
            done.set_exception(error)

    def job() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # handed to the awaiting task, whatever it is
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    start(job)
    return await done
