"""Calling code that is not ours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ramify.errors import RamifyError
from ramify.runtime.threads import in_thread

if TYPE_CHECKING:
    from ramify.runtime.run import Run


async def user_code(run: Run, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call user code where it belongs: async on its own loop, sync on a thread.

    What it raises comes out as it is, but for SystemExit and KeyboardInterrupt, which would end
    the event loop of everybody: they become a RamifyError.
    """
    try:
        if not inspect.iscoroutinefunction(function):
            return await in_thread(function, *args, **kwargs)
        if run.home is None or run.home is asyncio.get_running_loop():
            return await function(*args, **kwargs)
        work = asyncio.run_coroutine_threadsafe(function(*args, **kwargs), run.home)
        return await asyncio.wrap_future(work)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RamifyError(f"the program raised {type(error).__name__}: {error}") from error
