"""Constants as bytes that are equal exactly where the constants are."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import types
import uuid
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

_DEEPEST = 64
_MANY = 100_000  # pieces of a constant; what is larger gets no bytes
_FEW = 64  # pieces of a service that counts by its fields: settings, not data

# types whose repr says all there is to say
_PLAIN = frozenset({
    type(None), bool, int, float, complex, range, decimal.Decimal, fractions.Fraction, uuid.UUID,
    datetime.date, datetime.timedelta, pathlib.PosixPath, pathlib.WindowsPath,
    pathlib.PurePosixPath, pathlib.PureWindowsPath,
})  # fmt: skip
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


class NoBytesError(Exception):
    """A constant whose content cannot be told from outside."""


def encode(value: Any, held: list[Any], limit: int = _MANY) -> bytes:
    """The content of a constant; objects that are told apart by identity are added to `held`.

    Lists, dicts, sets, dataclasses, pydantic models and classes that compare by their slots count
    by their type and what they hold now. Functions, classes and modules count by identity, so that
    the bytes mean something only while these live: keep `held` as long as the bytes. Raises
    NoBytesError for every other type, because such an object may change, or hide what it holds.
    """
    if type(value) is str:
        return _text(b"s", value)
    writer = _Writer(held, limit)
    writer.write(value, 0)
    return b"".join(writer.out)


def identity(value: Any, held: list[Any]) -> bytes:
    """The bytes of a function or a service (an index, a compressor), told apart by what it is.

    A bound method counts by its object and function, a partial by what it binds, a frozen
    dataclass of a few settings by these; everything else by identity.
    """
    if isinstance(value, types.MethodType):
        return b"m" + identity(value.__self__, held) + identity(value.__func__, held)
    own: list[Any] = []
    try:
        if type(value) is functools.partial:
            bound = encode((value.args, value.keywords), own)
            return b"p" + identity(value.func, held) + bound
        if _is_frozen(value):
            return encode(value, own, _FEW)
    except NoBytesError:
        own = [value]
        return b"@%x;" % id(value)
    else:
        own = [value]
        return b"@%x;" % id(value)
    finally:
        held += own


def _is_frozen(value: Any) -> bool:
    settings = getattr(type(value), "__dataclass_params__", None)
    return settings is not None and settings.frozen and settings.eq


def _text(tag: bytes, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"%b%d:%b" % (tag, len(data), data)


class _Writer:
    """Writes one constant: each piece begins with a tag and, where it varies, its length."""

    def __init__(self, held: list[Any], limit: int) -> None:
        self.held = held
        self.limit = limit
        self.out: list[bytes] = []

    def write(self, value: Any, depth: int) -> None:
        kind = type(value)
        if depth > _DEEPEST or len(self.out) > self.limit:
            raise NoBytesError(f"too deep or too large: {kind.__name__}")
        if kind is str:
            self.out.append(_text(b"s", value))
        elif kind in _PLAIN:
            self.out.append(_text(b"v", f"{kind.__qualname__} {value!r}"))
        elif kind is bytes:
            self.out.append(b"b%d:%b" % (len(value), value))
        elif kind is tuple or kind is list:
            self.items(b"t" if kind is tuple else b"l", value, len(value), depth)
        elif kind is dict:
            pairs = (item for pair in value.items() for item in pair)
            self.items(b"d", pairs, len(value), depth)
        elif kind is set or kind is frozenset:
            self.out.append(b"S%d(" % len(value))
            self.out += sorted(self.alone(item, depth + 1) for item in value)
        elif isinstance(value, enum.Enum):
            self.out += identity(kind, self.held), _text(b"e", value.name)
        elif isinstance(value, _NAMED):
            self.out.append(identity(value, self.held))
        else:
            content = _content(value)
            self.out.append(b"r" + identity(kind, self.held))
            self.items(b"f", (item for pair in content for item in pair), len(content), depth)

    def items(self, tag: bytes, items: Iterable[Any], count: int, depth: int) -> None:
        self.out.append(b"%b%d(" % (tag, count))
        for item in items:
            self.write(item, depth + 1)

    def alone(self, value: Any, depth: int) -> bytes:
        """One item of a set, whose items come in any order."""
        writer = _Writer(self.held, self.limit - len(self.out))
        writer.write(value, depth)
        return b"".join(writer.out)


def _slots(kind: Any) -> list[str] | None:
    """The slots of a class that compares by content and holds nothing but its slots."""
    found: list[str] = []
    for base in kind.__mro__[:-1]:
        slots = vars(base).get("__slots__")
        if slots is None:
            return None
        found += [slots] if isinstance(slots, str) else slots
    return found if kind.__eq__ is not object.__eq__ else None


def _content(value: Any) -> list[tuple[str, Any]]:
    """Names and values of what a record holds."""
    kind = type(value)
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        if not set(getattr(value, "__dict__", ())).difference(names):
            return [(name, getattr(value, name)) for name in names]
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        return list(zip(kind._fields, value, strict=True))
    elif hasattr(kind, "model_fields") and not getattr(value, "__pydantic_private__", None):
        return [*vars(value).items(), ("", getattr(value, "__pydantic_extra__", None))]
    elif isinstance(value, datetime.time | datetime.datetime) and value.tzinfo is None:
        return [("", repr(value))]
    else:
        slots = _slots(kind)
        if slots is not None and all(hasattr(value, name) for name in slots):
            return [(name, getattr(value, name)) for name in slots]
    raise NoBytesError(f"{kind.__name__} does not show its content")
