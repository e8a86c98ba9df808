"""A program that is about to run, as the runtime sees it: something that traces a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ramify.ir import Graph, Ref
from ramify.runtime.run import Run


class Resolver(Protocol):
    """How a program under way asks for values."""

    def known(self, refs: Iterable[Ref]) -> bool:
        """Whether all values are there already."""
        ...

    def resolve(self, refs: Iterable[Ref]) -> list[Any]:
        """Values of refs; blocks the program's thread until they are known."""
        ...

    async def aresolve(self, refs: Iterable[Ref]) -> list[Any]:
        """The same for async programs."""
        ...


@dataclass(slots=True)
class Task:
    """`body(resolver)` runs the program's code once, adding nodes to `graph`; it returns the
    operand that the program gave back. It is a coroutine function where `is_async`.
    """

    program: str
    graph: Graph
    body: Callable[[Resolver | None], Any]
    is_async: bool = False
    variables: Callable[[], Mapping[str, Ref]] = dict
    kept: Callable[[], list[Ref]] = list  # wanted beside what is returned
    release: Callable[[], None] = lambda: None  # called when the run is over


class RunResolver:
    """Values of a live run, from any thread or loop."""

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.loop = loop

    async def _values(self, refs: list[Ref]) -> list[Any]:
        self.run.asked.update(ref.node for ref in refs)
        await self.run.compute(refs)
        return [self.run.outcomes.value(ref) for ref in refs]

    def known(self, refs: Iterable[Ref]) -> bool:
        return all(ref.node in self.run.outcomes.by_id for ref in refs)

    def resolve(self, refs: Iterable[Ref]) -> list[Any]:
        found = list(refs)
        if self.known(found):
            return [self.run.outcomes.value(ref) for ref in found]
        return asyncio.run_coroutine_threadsafe(self._values(found), self.loop).result()

    async def aresolve(self, refs: Iterable[Ref]) -> list[Any]:
        found = list(refs)
        if asyncio.get_running_loop() is self.loop:
            return await self._values(found)
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._values(found), self.loop)
        )
