"""A traced function as a task of the runtime."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ramify.dsl.misuse import naming_misuse
from ramify.dsl.state import State
from ramify.dsl.trace import Trace
from ramify.ir import Operand, Ref
from ramify.runtime import Resolver, Task


def task_of(
    function: Callable[..., Any],
    returned: Callable[[Any, State], Any],
    trace: Trace,
    state: State,
    bound: inspect.BoundArguments,
) -> Task:
    """One run of `function`, with these arguments, on `state`; `returned` checks its result."""

    def body(resolver: Resolver | None) -> Operand:
        trace.resolver = resolver
        with trace.active():
            with naming_misuse(trace.program):
                value = function(*bound.args, **bound.kwargs)
            return trace.lower(returned(value, state))

    async def abody(resolver: Resolver | None) -> Operand:
        trace.resolver = resolver
        with trace.active():
            with naming_misuse(trace.program):
                value = await function(*bound.args, **bound.kwargs)
            return trace.lower(returned(value, state))

    def variables() -> dict[str, Ref]:
        alone = {name: values[0] for name, values in trace.named.items() if len(values) == 1}
        return {name: value._ref for name, value in {**alone, **state._names.own}.items()}

    return Task(
        trace.program,
        trace.graph,
        abody if trace.is_async else body,
        is_async=trace.is_async,
        variables=variables,
        kept=lambda: [value._ref for value in state._names.kept],
        release=trace.release,
    )
