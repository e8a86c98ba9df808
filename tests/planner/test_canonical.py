from __future__ import annotations

import datetime
import enum
import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ramify.planner.canonical import NoBytesError, encode, identity
from ramify.retrieval.contract import Passages
from tests.planner.graphs import quick

constants = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    | st.sets(st.integers(0, 3), max_size=3),
    max_leaves=4,
)  # fmt: skip


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int


@dataclass(frozen=True)
class Settings:
    size: int
    hidden: int = field(default=0, compare=False)


class Model(BaseModel):
    size: int


class Slotted:
    __slots__ = ("items",)

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]


class Bare:
    __slots__ = ()  # compares by identity


class Opaque:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def method(self) -> None: ...


def _plain(value: Any) -> Any:
    """A form that is equal exactly where the bytes should be: the naive twin."""
    if isinstance(value, dict):
        return ("dict", [(_plain(k), _plain(v)) for k, v in value.items()])
    if isinstance(value, set):
        return ("set", sorted(map(_plain, value)))
    if isinstance(value, list | tuple):
        return (type(value).__name__, [_plain(item) for item in value])
    return (type(value).__name__, repr(value))


@quick
@given(constants, constants)
def test_equal_exactly_where_the_constants_are(a: Any, b: Any) -> None:
    assert (encode(a, []) == encode(b, [])) == (_plain(a) == _plain(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True), (1, 1.0), (0.0, -0.0), ("1", 1), ("1", b"1"), ((1,), [1]), ({1}, frozenset({2})),
        ([[1], 2], [[1, 2]]), (["a", "b"], ["ab"]), ({"a": 1}, {"a": 2}), (Point(1), (1,)),
        (Settings(1), Settings(2)), (Settings(1), Settings(1, hidden=2)),
        (Model(size=1), {"size": 1}),
        (Slotted(1), Slotted(2)), (Colour.RED, 1), (None, "None"),
        (int, str), (len, print), ("\ud800", "?"),
    ],
)  # fmt: skip
def test_different(a: Any, b: Any) -> None:
    assert encode(a, []) != encode(b, [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Settings(3), lambda: Model(size=2), lambda: Point(2), lambda: Colour.RED,
        lambda: datetime.datetime(2020, 1, 2), lambda: {"a": [Settings(1)]}, lambda: {3, 1, 2},
        lambda: Slotted(1, "a"), lambda: Passages.of(["one", "two"]),
    ],
)  # fmt: skip
def test_equal(make: Any) -> None:
    assert encode(make(), []) == encode(make(), [])


def test_what_hides_its_content_has_no_bytes() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    extra = Settings(1)
    object.__setattr__(extra, "more", 1)
    unset = Slotted.__new__(Slotted)
    for value in (Opaque(), Bare(), unset, object(), [Opaque()], cyclic, iter(()), extra):
        with pytest.raises(NoBytesError):
            encode(value, [])


def test_large_constants_have_no_bytes() -> None:
    with pytest.raises(NoBytesError):
        encode(list(range(200_000)), [])
    wide: Any = [0] * 10
    for _ in range(6):
        wide = [wide] * 10  # a small object that is large when written out
    with pytest.raises(NoBytesError):
        encode(wide, [])


def test_services_count_by_identity_or_by_their_settings() -> None:
    held: list[Any] = []
    one, other = Opaque(), Opaque()
    assert identity(one, held) != identity(other, held)
    assert held == [one, other]
    assert identity(Settings(1), []) == identity(Settings(1), [])
    assert identity(one.method, []) == identity(one.method, [])  # bound anew each time
    assert identity(one.method, []) != identity(other.method, [])
    part = functools.partial
    assert identity(part(len, 1), []) == identity(part(len, 1), [])
    assert identity(part(len, 1), []) != identity(part(len, 2), [])
    assert identity(part(len, one), []) != identity(part(len, one), [])
