"""Reading rows beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Generic, TypeVar

from ramify.errors import RamifyError
from ramify.runtime.threads import start

T = TypeVar("T")


class Reader(Generic[T]):
    """Reads an iterator on a thread of its own, always the same one, and only what is asked for.

    Iterators may block (standard input, a server), and some are bound to the thread that they began
    on (cursors of SQLite). Leaving early waits for nobody: a read that blocks then ends its thread
    when it comes back, and nothing more is read.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._asked: SimpleQueue[tuple[int, asyncio.Future[list[T]]] | None] = SimpleQueue()
        self._over = False

    def __enter__(self) -> Reader[T]:
        start(partial(copy_context().run, self._serve))
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        self._asked.put(None)

    async def take(self, most: int) -> list[T]:
        """Up to `most` items, fewer only at the end. Raises what the iterator raises; what is no
        Exception (SystemExit), and would end the event loop, as a RamifyError."""
        future: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
        self._asked.put((most, future))
        return await future

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            most, future = asked
            found: list[T] = []
            failure: Exception | None = None
            try:
                for item in islice(self._items, most):
                    found.append(item)
                    if self._over:
                        break
            except Exception as error:
                failure = error
            except BaseException as error:
                said = f": {error}" if str(error) else "."
                failure = RamifyError(f"the rows raised {type(error).__name__}{said}")
                failure.__cause__ = error
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, found, failure)
            del asked, future, found, failure  # a traceback that is kept keeps this frame


def _settle(future: asyncio.Future[list[T]], found: list[T], failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(found)
    else:
        future.set_exception(failure)
