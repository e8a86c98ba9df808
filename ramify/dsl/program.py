"""Programs: functions whose first argument is a state, run on a backend."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

from ramify.dsl.batch_run import BatchInterruptedError, BatchResult, arun_rows, run_rows_on_ray
from ramify.dsl.look import TraceStopped
from ramify.dsl.state import State
from ramify.dsl.task_of import task_of
from ramify.dsl.trace import Trace, current_or_none
from ramify.errors import ProgramError, Where
from ramify.ir import Prompt, Ref
from ramify.planner import Context, Options, PassNote, Plan
from ramify.planner import plan as make_plan
from ramify.runtime import (
    AsyncStream,
    BackendLike,
    BatchOptions,
    Policy,
    Result,
    Sink,
    Stream,
    Task,
    backends_of,
    execute,
    opened,
    policy_of,
    run_async,
    run_sync,
)
from ramify.runtime.ray import RayOptions

_RESERVED = ("backend", "policy")


class Program:
    """A function that was marked `@program`.

    Its first argument is the state; the others are the program's arguments. It must return what
    it is for: a value, text with values, a list or dict of them, or the state.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", "program")
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = inspect.signature(function)
        names = list(self.signature.parameters)
        if not names:
            raise ProgramError(
                "a program needs a first argument for its state.",
                hint=f"def {self.name}(s, ...).",
                where=Where(self.name),
            )
        if names[0] in ("self", "cls"):
            raise ProgramError(
                "a method cannot be a program.",
                hint="Write a function, and give the object as an argument.",
                where=Where(self.name),
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ProgramError(
                "a generator cannot be a program.",
                hint=f"Return what it is for; to watch it, use {self.name}.stream(...).",
                where=Where(self.name),
            )
        taken = [name for name in names[1:] if name in _RESERVED]
        if taken:
            raise ProgramError(
                f"the argument name {taken[0]!r} is used by run() itself.",
                hint="Rename the argument.",
                where=Where(self.name),
            )
        functools.update_wrapper(self, function)

    def arguments(self) -> list[str]:
        """The names of the program's arguments, without the state."""
        return list(self.signature.parameters)[1:]

    @property
    def takes_any(self) -> bool:
        """Whether the program takes arguments of any name (**kwargs)."""
        kinds = [parameter.kind for parameter in self.signature.parameters.values()]
        return inspect.Parameter.VAR_KEYWORD in kinds

    # as part of another program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Inside a program: a sub-program with a prompt of its own; returns what it returns."""
        trace = current_or_none()
        if trace is None:
            raise ProgramError(
                "a program is not called like a function.",
                hint=f"{self.name}.run(...), or call it inside another program.",
                where=Where(self.name),
            )
        if self.is_async and not trace.is_async:
            raise ProgramError(
                f"the async program {self.name!r} was called in a sync one.",
                hint=f"Make {trace.program!r} async and await it.",
                where=Where(trace.program),
            )
        state = State(trace, Prompt(), f"{trace.program}/{self.name}")
        bound = self._bound(state, args, kwargs)
        if self.is_async:
            return self._awaited(bound)
        return self._returned(self.function(*bound.args, **bound.kwargs), state)

    async def _awaited(self, bound: inspect.BoundArguments) -> Any:
        return self._returned(await self.function(*bound.args, **bound.kwargs), bound.args[0])

    def _bound(self, state: State, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            return self.signature.bind(state, *args, **kwargs)
        except TypeError as error:
            raise ProgramError(
                f"wrong arguments: {error}.",
                hint=f"It takes {self.signature}, without the state.",
                where=Where(self.name),
            ) from error

    def _returned(self, value: Any, state: State) -> Any:
        if value is None:
            known = ", ".join(state.names())
            way = f'return s["{state.names()[-1]}"]' if known else "return a value or the state"
            raise ProgramError(
                "the program returned nothing.",
                hint=f"End it with `{way}`.",
                where=Where(self.name),
            )
        return value

    # tracing

    def task(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Task:
        """One run of this program, ready for the runtime."""
        trace = Trace(self.name, is_async=self.is_async)
        state = State(trace, Prompt(), self.name)
        bound = self._bound(state, args, kwargs)
        return task_of(self.function, self._returned, trace, state, bound)

    def compile(self, *args: Any, backend: BackendLike = None, **kwargs: Any) -> Plan:
        """The plan of a run, without running it: up to the first value that the program looks at.

        Without a backend the plan's times and token counts are rough defaults.
        """
        task = self.task(args, kwargs)
        note = ""
        try:
            traced = task.body(None)
            value = run_sync(traced) if self.is_async else traced
            task.graph.outputs = (value, *task.kept())
        except TraceStopped as stopped:
            note = (
                f"the program looks at {stopped.name!r}; what follows is planned when it is known"
            )
            task.graph.outputs = tuple(Ref(node) for node in task.graph.nodes)
        context = Context()
        if backend is not None:
            backends = backends_of(backend)
            profiles = {name: one.profile() for name, one in backends.items()}
            context = Context(profiles=profiles, count=backends[""].renderer.count_text)
        plan = make_plan(task.graph, context, Options())
        if note:
            plan.notes = (*plan.notes, PassNote("trace", "exact", 0, note))
        return plan

    def explain(self, *args: Any, backend: BackendLike = None, **kwargs: Any) -> str:
        """The plan as a table."""
        return self.compile(*args, backend=backend, **kwargs).explain()

    # running

    def run(
        self, *args: Any, backend: BackendLike = None, policy: Policy | None = None, **kwargs: Any
    ) -> Result:
        """Run the program and wait for its result. Works inside a running event loop, too."""
        return run_sync(self._execute(args, kwargs, backend, policy))

    async def arun(
        self, *args: Any, backend: BackendLike = None, policy: Policy | None = None, **kwargs: Any
    ) -> Result:
        """Run the program; an async program's own code runs on the caller's loop."""
        home = asyncio.get_running_loop()
        return await run_async(self._execute(args, kwargs, backend, policy, home=home))

    def stream(
        self, *args: Any, backend: BackendLike = None, policy: Policy | None = None, **kwargs: Any
    ) -> Stream:
        """Run the program and watch: iterate over events, or over `.text(name)`."""
        return Stream(lambda sink: self._execute(args, kwargs, backend, policy, sink=sink))

    def astream(
        self, *args: Any, backend: BackendLike = None, policy: Policy | None = None, **kwargs: Any
    ) -> AsyncStream:
        """The same for async code; call it where a loop is running."""
        home = asyncio.get_running_loop()
        return AsyncStream(
            lambda sink: self._execute(args, kwargs, backend, policy, sink=sink, home=home)
        )

    async def _execute(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        backend: BackendLike,
        policy: Policy | None,
        *,
        sink: Sink | None = None,
        home: asyncio.AbstractEventLoop | None = None,
    ) -> Result:
        task = self.task(args, kwargs)
        chosen = policy_of(policy)
        backends = await opened(backend)
        return await execute(task, backends, chosen, sink=sink, home=home)

    def run_batch(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        backend: BackendLike = None,
        policy: Policy | None = None,
        concurrency: int = 64,
        window: int = 256,
        explain: bool = False,
        out: str | Path | None = None,
        progress: bool = False,
        executor: Literal["local", "ray"] = "local",
        ray: RayOptions | None = None,
    ) -> BatchResult:
        """Run the program once per row; a row is a mapping of the program's arguments.

        A failed row stops nobody else: its result raises when it is read. Of `window` rows, those
        that begin alike run next to each other, `concurrency` at once; with `explain`, results
        keep their plans. With `out`, finished rows are appended to that JSONL file as they come,
        and rows that are in it already are skipped. An interrupt raises BatchInterruptedError,
        which carries the finished rows.

        `executor="ray"` gives the rows to actors that each open the backend (named by a string)
        for themselves; `ray` says how many and how.
        """
        results: dict[int, Result] = {}
        options = BatchOptions(concurrency=concurrency, window=window, explain=explain)
        given = (self, rows, backend, policy_of(policy), options, results, out, progress)
        try:
            if executor == "ray":
                run_rows_on_ray(*given, ray or RayOptions())
            elif executor == "local":
                run_sync(arun_rows(*given))
            else:
                raise ProgramError(
                    f"executor={executor!r} is unknown.", hint="Choose 'local' or 'ray'."
                )
        except KeyboardInterrupt:
            raise BatchInterruptedError(self.name, BatchResult(results)) from None
        return BatchResult(results)

    async def arun_batch(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        backend: BackendLike = None,
        policy: Policy | None = None,
        concurrency: int = 64,
        window: int = 256,
        explain: bool = False,
        out: str | Path | None = None,
        progress: bool = False,
    ) -> BatchResult:
        """The same for async code."""
        results: dict[int, Result] = {}
        options = BatchOptions(concurrency=concurrency, window=window, explain=explain)
        await run_async(
            arun_rows(self, rows, backend, policy_of(policy), options, results, out, progress)
        )
        return BatchResult(results)

    def __repr__(self) -> str:
        return f"<program {self.name}{self.signature}>"


@overload
def program(function: Callable[..., Any]) -> Program: ...
@overload
def program() -> Callable[[Callable[..., Any]], Program]: ...
def program(function: Callable[..., Any] | None = None) -> Any:
    """Mark a function as a program, with or without parentheses; see Program."""
    return Program if function is None else Program(function)
