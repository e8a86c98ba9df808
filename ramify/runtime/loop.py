"""The one event loop on which everything is executed.

It lives in a background thread, so the sync forms work anywhere, also where an event loop is
already running (notebooks), and backends always meet the same loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ramify.errors import ProgramError

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop, started at the first call."""
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            ready = threading.Event()
            threading.Thread(
                target=_serve, args=(_loop, ready), name="ramify-loop", daemon=True
            ).start()
            ready.wait()
        return _loop


def _begin_anew() -> None:
    """In a forked process, in which the loop's thread is not."""
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _serve(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(ready.set)
    loop.run_forever()


def on_background_loop() -> bool:
    """Whether the caller already runs on the background loop's thread."""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start work on the background loop."""
    return asyncio.run_coroutine_threadsafe(work, background_loop())


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run work on the background loop and wait for it; an interrupt cancels it and waits."""
    if on_background_loop():
        work.close()
        raise ProgramError(
            "a sync call would wait for the loop that it runs on.",
            hint="Use the async form (`await program.arun(...)`) here.",
        )
    ended = threading.Event()

    async def watched() -> T:
        try:
            return await work
        finally:
            ended.set()

    future = submit(watched())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        ended.wait(timeout=10)  # until everything below is cancelled and its memory is free
        raise


async def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run work on the background loop and await it from any loop."""
    if on_background_loop():
        return await work
    return await asyncio.wrap_future(submit(work))
