"""Looking at values: the moments at which a program waits for what it asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ramify.dsl.trace import Trace
from ramify.errors import ValueUseError
from ramify.ir import Ref

# called once before a thread blocks, so that whoever started it can go on (see fan_out)
before_blocking: ContextVar[Callable[[], None] | None] = ContextVar("before_blocking", default=None)


class TraceStopped(BaseException):
    """Tracing without running (`compile`) came to a point where the program looks at a value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def look(trace: Trace, refs: list[Ref], name: str) -> list[Any]:
    """Values of refs; blocks. Raises ValueUseError where blocking would stop an event loop."""
    if trace.resolver is None:
        raise TraceStopped(name)
    if trace.is_async and _loop_is_running() and not trace.resolver.known(refs):
        raise ValueUseError(
            f"{name!r} was looked at in an async program before it exists.",
            hint="Write `await value` first; after that str(value) works too.",
            where=trace.where(name),
        )
    signal = before_blocking.get()
    if signal is not None and not trace.resolver.known(refs):
        signal()
    return trace.resolver.resolve(refs)


async def alook(trace: Trace, refs: list[Ref], name: str) -> list[Any]:
    """Values of refs, awaited."""
    if trace.resolver is None:
        raise TraceStopped(name)
    return await trace.resolver.aresolve(refs)


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
