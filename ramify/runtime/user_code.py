"""Calling code that is not ours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ramify.errors import RamifyError
from ramify.runtime.threads import in_thread

if TYPE_CHECKING:
    from ramify.runtime.run import Run


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an async function, or an object with an async call."""
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def at_home(run: Run, work: Coroutine[Any, Any, Any]) -> Any:
    """Await async user code on the loop that it belongs to."""
    if run.home is None or run.home is asyncio.get_running_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, run.home))


async def user_code(run: Run, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call user code where it belongs: async on its own loop, sync on a thread.

    What it raises comes out as it is, but for SystemExit and KeyboardInterrupt, which would end
    the event loop of everybody, and a CancelledError where nobody cancelled the run: they become a
    RamifyError.
    """
    try:
        if is_async(function):
            return await at_home(run, function(*args, **kwargs))
        found = await in_thread(function, *args, **kwargs)
        # a plain function that calls an async one and returns what that gives
        return await at_home(run, found) if inspect.iscoroutine(found) else found
    except (SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        said = f": {error}" if str(error) else "."
        raise RamifyError(f"the program raised {type(error).__name__}{said}") from error
