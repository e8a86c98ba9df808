"""A value: something that a node will give, used before it exists."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from ramify.dsl.trace import Trace
from ramify.errors import ValueUseError
from ramify.ir import Ref


class Value:
    """Text or data that does not exist yet.

    Put it into an f-string or a message and it stays a value. Look at it (`str(v)`, `if v == ..`,
    a loop over it; `await v` in async programs) and just what it needs is run. A value with a
    schema has the schema's fields and items, which are values too.
    """

    __slots__ = ("_annotation", "_name", "_ref", "_trace")

    def __init__(self, trace: Trace, ref: Ref, name: str, annotation: Any = str) -> None:
        self._trace = trace
        self._ref = ref
        self._name = name
        self._annotation = annotation

    # staying a value

    def __format__(self, spec: str) -> str:
        if spec:
            raise ValueUseError(
                f"{self._name!r} cannot be formatted with {spec!r}: it does not exist yet.",
                hint=f'Resolve it first: f"{{str({self._name}):{spec}}}".',
                where=self._trace.where(),
            )
        return self._trace.mark(self, self._name)

    def __add__(self, other: Any) -> str:
        return f"{self._text('+')}{other}"

    def __radd__(self, other: Any) -> str:
        return f"{other}{self._text('+')}"

    def _text(self, use: str) -> Value:
        """This value where it is text; where it is data, joining it as text is a mistake."""
        if self._annotation is str or self._annotation is Any:
            return self
        raise ValueUseError(
            f"{use} on {self._name!r}, which does not exist yet and is no text.",
            hint="Resolve it first: rf.resolve(value)[0], or int(value).",
            where=self._trace.where(self._name),
        )

    def __hash__(self) -> int:
        raise ValueUseError(
            f"{self._name!r} cannot be a key or in a set: it does not exist yet.",
            hint="Resolve it first: str(value); several at once: rf.resolve or rf.aresolve.",
            where=self._trace.where(self._name),
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = fields_of(self._annotation)
        if known is None and self._annotation is not Any:
            raise ValueUseError(
                f"{self._name!r} has no .{name}: it does not exist yet.",
                hint=f"Resolve it first: {self._resolved()}.{name}.",
                where=self._trace.where(self._name),
            )
        if known is not None and name not in known:
            raise ValueUseError(
                f"{self._name!r} has no field {name!r}.",
                hint=f"Its schema has: {', '.join(known)}.",
                where=self._trace.where(self._name),
            )
        return self._part(name, known[name] if known else Any, f"{self._name}.{name}")

    def __getitem__(self, key: str | int) -> Value:
        if self._annotation is str or not isinstance(key, (str, int)) or isinstance(key, bool):
            raise ValueUseError(
                f"{self._name!r} cannot be indexed with {key!r}: it does not exist yet.",
                hint=f"Resolve it first: {self._resolved()}[...].",
                where=self._trace.where(self._name),
            )
        return self._part(key, item_of(self._annotation, key), f"{self._name}[{key!r}]")

    def _resolved(self) -> str:
        return "str(value)" if self._annotation is str else "rf.resolve(value)[0]"

    def _part(self, step: str | int, annotation: Any, name: str) -> Value:
        return Value(self._trace, Ref(self._ref.node, (*self._ref.path, step)), name, annotation)

    # being looked at

    def resolve(self) -> Any:
        """The value itself; runs what it needs and waits."""
        from ramify.dsl.look import look

        return look(self._trace, [self._ref], self._name)[0]

    def __await__(self) -> Generator[Any, None, Any]:
        from ramify.dsl.look import alook

        found = yield from alook(self._trace, [self._ref], self._name).__await__()
        return found[0]

    def __str__(self) -> str:
        from ramify.runtime.outcome import text_of

        return text_of(self.resolve())

    def __bool__(self) -> bool:
        return bool(self.resolve())

    def __int__(self) -> int:
        return int(self.resolve())

    def __float__(self) -> float:
        return float(self.resolve())

    def __len__(self) -> int:
        return len(self.resolve())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.resolve())

    def __contains__(self, item: Any) -> bool:
        return item in self.resolve()

    def __eq__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a == b))

    def __ne__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a != b))

    def __lt__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a < b))

    def __le__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a <= b))

    def __gt__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a > b))

    def __ge__(self, other: Any) -> bool:
        return bool(self._compare(other, lambda a, b: a >= b))

    def _compare(self, other: Any, test: Callable[[Any, Any], Any]) -> Any:
        return test(self.resolve(), other.resolve() if isinstance(other, Value) else other)

    def __repr__(self) -> str:
        return f"<value {self._name!r} of {self._trace.program!r}>"


def fields_of(annotation: Any) -> dict[str, Any] | None:
    """Field names and types of a schema with fields; None where it has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    if hasattr(annotation, "__dataclass_fields__"):
        return {name: field.type for name, field in annotation.__dataclass_fields__.items()}
    if get_origin(annotation) in (Union, UnionType):
        some = [part for part in get_args(annotation) if part is not type(None)]
        return fields_of(some[0]) if len(some) == 1 else None
    return None


def item_of(annotation: Any, key: str | int) -> Any:
    """The type of an item of a schema; Any where it is not known."""
    arguments = get_args(annotation)
    if get_origin(annotation) is list and arguments:
        return arguments[0]
    if get_origin(annotation) is dict and len(arguments) == 2:
        return arguments[1]
    if get_origin(annotation) is tuple and arguments and isinstance(key, int):
        return arguments[0] if arguments[-1] is Ellipsis else arguments[key]
    return Any
