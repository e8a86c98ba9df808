"""The trace of one program run: turns what the program's code does into nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeVar

from ramify.dsl.marker import marker, split
from ramify.errors import ProgramError, Where
from ramify.ir import Graph, Node, Operand, Pack, Ref, Template
from ramify.runtime.task import Resolver

N = TypeVar("N", bound=Node)

_numbers = count(1)
_current: ContextVar[Trace | None] = ContextVar("ramify_trace", default=None)


class Trace:
    """Adds nodes to `graph`; resolves values through `resolver` once the run is live."""

    def __init__(self, program: str, *, is_async: bool = False) -> None:
        self.program = program
        self.is_async = is_async
        self.graph = Graph(program)
        self.resolver: Resolver | None = None
        self.named: dict[str, list[Any]] = {}  # values by name, of all states
        self._number = next(_numbers)
        self._marked: list[Any] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this the trace that free operations (rf.retrieve, rf.call ...) add to."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def release(self) -> None:
        """Let go of the values, which hold the trace: what a run made is freed without a search
        for cycles as soon as nobody uses it."""
        self.named.clear()
        self._marked.clear()

    def where(self, node: str = "") -> Where:
        return Where(self.program, node)

    def mark(self, item: Any, name: str) -> str:
        """The marker by which `item` comes back out of a text."""
        self._marked.append(item)
        return marker(name, self._number, len(self._marked) - 1)

    def split(self, text: str) -> list[Any]:
        """Text and the marked items in it."""
        return split(text, self._number, self._marked)

    def lower(self, item: Any) -> Operand:
        """What the program wrote, as an operand of a node."""
        from ramify.dsl.operations import Message, Operation
        from ramify.dsl.value import Value

        if isinstance(item, Value):
            return self.own(item)
        if isinstance(item, str):
            parts = self.split(item)
            if all(isinstance(part, str) for part in parts):
                return item
            return Template(tuple(p if isinstance(p, str) else self._ref(p) for p in parts))
        if isinstance(item, (list, tuple)):
            items = tuple(self.lower(part) for part in item)
            plain = all(new is old for new, old in zip(items, item, strict=True))
            return item if plain else Pack(items)
        if isinstance(item, dict):
            items = tuple(self.lower(part) for part in item.values())
            plain = all(new is old for new, old in zip(items, item.values(), strict=True))
            return item if plain else Pack(items, tuple(item))
        if isinstance(item, (Operation, Message)):
            raise ProgramError(
                f"{type(item).__name__} {getattr(item, 'name', '')!r} is not a value yet.",
                hint="Append it to a state (s += ...), then use s[name].",
                where=self.where(),
            )
        lowered = getattr(item, "__ramify_operand__", None)
        return item if lowered is None or isinstance(item, type) else self.lower(lowered())

    def own(self, value: Any) -> Ref:
        """The Ref of a value, which must be one of this run."""
        if value._trace is not self:
            raise ProgramError(
                f"the value {value._name!r} belongs to another run.",
                hint="Use result[name] of the finished run.",
                where=self.where(),
            )
        ref: Ref = value._ref
        return ref

    def _ref(self, item: Any) -> Ref:
        from ramify.dsl.value import Value

        if not isinstance(item, Value):
            raise ProgramError(
                f"{item!r} stands where only values can.",
                hint="Append it to a state first (s += ...), then use s[name].",
                where=self.where(),
            )
        return self.own(item)

    def plain(self, item: Any, what: str) -> Any:
        """An argument that must be known while tracing; raises where it holds a value."""
        lowered = self.lower(item)
        if isinstance(lowered, (Ref, Template, Pack)):
            raise ProgramError(
                f"{what} must be known when the program is traced, but holds a value.",
                hint="Resolve it first: str(value), or `await value` in an async program.",
                where=self.where(),
            )
        return lowered


def current(what: str) -> Trace:
    """The active trace; `what` names the operation in the error outside of a program."""
    trace = _current.get()
    if trace is None:
        raise ProgramError(
            f"{what} was used outside of a running program.",
            hint="Call it inside a function marked @rf.program.",
        )
    return trace


def current_or_none() -> Trace | None:
    return _current.get()
