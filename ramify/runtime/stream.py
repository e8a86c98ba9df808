"""Watching a run while it runs."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from typing import Any

from ramify.runtime.events import Event, Sink
from ramify.runtime.in_order_text import InOrderText
from ramify.runtime.loop import submit
from ramify.runtime.result import Result

Begin = Callable[[Sink], Coroutine[Any, Any, Result]]


class Stream:
    """A run under way: iterate over its events, or over the text of one variable.

    Leaving the loop early and closing the stream (or leaving its `with` block) cancels the run.
    """

    def __init__(self, begin: Begin) -> None:
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._future = submit(begin(self._queue.put))
        self._future.add_done_callback(lambda _: self._queue.put(None))

    def __iter__(self) -> Iterator[Event]:
        while (event := self._queue.get()) is not None:
            yield event
        self._queue.put(None)
        self.result()

    def text(self, name: str, scope: str = "") -> Iterator[str]:
        """The text of the variable `name`, piece by piece; of branches, those under `scope`."""
        for event in self:
            if event.kind == "delta" and event.name == name and event.scope.startswith(scope):
                yield event.text

    def in_order(self, *names: str, strip: Collection[str] = ()) -> Iterator[str]:
        """The texts of these names as one text, in the order of the program, while their nodes run
        side by side; see InOrderText. `in_order("head", "text", strip=["text"])`
        is the answer of a skeleton."""
        ordered = InOrderText(names, strip)
        for event in self:
            yield from ordered.take(event)

    def result(self) -> Result:
        """Wait for the end of the run; raises what the run raised."""
        return self._future.result()

    def close(self) -> None:
        """Cancel the run if it is still under way."""
        self._future.cancel()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncStream:
    """The same for async code."""

    def __init__(self, begin: Begin) -> None:
        loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._queue.put_nowait, event)

        future = submit(begin(put))
        future.add_done_callback(lambda _: put(None))
        self._future = asyncio.wrap_future(future)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event
        self._queue.put_nowait(None)
        await self._future

    async def text(self, name: str, scope: str = "") -> AsyncIterator[str]:
        """The text of the variable `name`, piece by piece; of branches, those under `scope`."""
        async for event in self:
            if event.kind == "delta" and event.name == name and event.scope.startswith(scope):
                yield event.text

    async def in_order(self, *names: str, strip: Collection[str] = ()) -> AsyncIterator[str]:
        """The texts of these names as one text in the order of the program; see Stream."""
        ordered = InOrderText(names, strip)
        async for event in self:
            for text in ordered.take(event):
                yield text

    async def result(self) -> Result:
        """Wait for the end of the run; raises what the run raised."""
        return await self._future

    def close(self) -> None:
        """Cancel the run if it is still under way."""
        self._future.cancel()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
