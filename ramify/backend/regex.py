"""Python regular expressions in the dialect of linear-time engines (Rust's regex syntax)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from re import _constants as op  # type: ignore[attr-defined]  # the parser of re has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from ramify.errors import ConstraintError

# Python's own notion of its classes, character by character: Rust's differs on marks and
# separators, and knows other versions of Unicode.
_UNICODE: dict[Any, tuple[bool, Callable[[str], bool]]] = {
    op.CATEGORY_DIGIT: (True, str.isdecimal),
    op.CATEGORY_NOT_DIGIT: (False, str.isdecimal),
    op.CATEGORY_SPACE: (True, str.isspace),
    op.CATEGORY_NOT_SPACE: (False, str.isspace),
    op.CATEGORY_WORD: (True, lambda character: character.isalnum() or character == "_"),
    op.CATEGORY_NOT_WORD: (False, lambda character: character.isalnum() or character == "_"),
}
_ASCII = {
    op.CATEGORY_DIGIT: "[0-9]",
    op.CATEGORY_NOT_DIGIT: "[^0-9]",
    op.CATEGORY_SPACE: r"[\t-\r ]",
    op.CATEGORY_NOT_SPACE: r"[^\t-\r ]",
    op.CATEGORY_WORD: "[0-9A-Za-z_]",
    op.CATEGORY_NOT_WORD: "[^0-9A-Za-z_]",
}
_STARTS = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
_ENDS = (op.AT_END, op.AT_END_STRING)


@lru_cache(256)
def linear_regex(pattern: str) -> str:
    """A regex in Rust's syntax that matches, as a whole, what Python's `re.fullmatch` accepts.

    Raises ConstraintError where the pattern is invalid, or needs what no linear-time engine has:
    look-around, word boundaries, back-references, possessive or atomic groups.
    """
    try:
        tree = parser.parse(pattern)
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConstraintError(f"the regex {pattern!r} is invalid: {error}.") from error
    return _Translator(pattern, tree.state.flags).whole(tree)


def literal_regex(text: str) -> str:
    """A regex in Rust's syntax that matches just this text."""
    return "".join(_literal(ord(character)) for character in text)


class _Translator:
    """Writes a parsed pattern anew."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._pattern = pattern
        self._flags = flags

    def whole(self, tree: Any) -> str:
        """The pattern, whose anchors at either end say what a full match says anyway."""
        return self._sequence(list(tree), self._flags, first=True, last=True)

    def _sequence(
        self, items: list[Any], flags: int, *, first: bool = False, last: bool = False
    ) -> str:
        parts = []
        for number, (code, value) in enumerate(items):
            ends = (first and number == 0, last and number == len(items) - 1)
            parts.append(self._item(code, value, flags, *ends))
        return "".join(parts)

    def _item(self, code: Any, value: Any, flags: int, first: bool, last: bool) -> str:
        if code is op.LITERAL:
            return _fold(_literal(value), flags)
        if code is op.NOT_LITERAL:
            return _fold(f"[^{_literal(value)}]", flags)
        if code is op.ANY:
            return "(?s:.)" if flags & re.DOTALL else "."
        if code is op.IN:
            return _fold(_set(value, flags), flags)
        if code is op.BRANCH:
            options = (
                self._sequence(list(option), flags, first=first, last=last) for option in value[1]
            )
            return f"(?:{'|'.join(options)})"
        if code is op.SUBPATTERN:
            _, added, removed, body = value
            inner = (flags | added) & ~removed
            return f"(?:{self._sequence(list(body), inner, first=first, last=last)})"
        if code in (op.MAX_REPEAT, op.MIN_REPEAT):
            low, high, body = value
            times = f"{{{low},{'' if high is op.MAXREPEAT else high}}}"
            return f"(?:{self._sequence(list(body), flags)}){times}"
        if code is op.AT and ((first and value in _STARTS) or (last and value in _ENDS)):
            return ""
        raise ConstraintError(
            f"the regex {self._pattern!r} needs {_named(code, value)}, which cannot be enforced "
            "while a text is written.",
            hint="Write it without, or check the answer afterwards.",
        )


def _literal(code: int) -> str:
    return f"\\x{{{code:x}}}"


@cache
def _class(category: Any) -> str:
    """A class of Python's as ranges; found once, by asking for every character."""
    inside, holds = _UNICODE[category]
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if holds(chr(code)) and not 0xD800 <= code <= 0xDFFF:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    listed = "".join(f"{_literal(low)}-{_literal(high)}" for low, high in ranges)
    return f"[{'' if inside else '^'}{listed}]"


def _set(items: list[tuple[Any, Any]], flags: int) -> str:
    parts = []
    for code, value in items:
        if code is op.NEGATE:
            parts.append("^")
        elif code is op.LITERAL:
            parts.append(_literal(value))
        elif code is op.RANGE:
            parts.append(f"{_literal(value[0])}-{_literal(value[1])}")
        else:
            parts.append(_ASCII[value] if flags & re.ASCII else _class(value))
    return f"[{''.join(parts)}]"


def _fold(text: str, flags: int) -> str:
    return f"(?i:{text})" if flags & re.IGNORECASE else text


def _named(code: Any, value: Any) -> str:
    if code in (op.ASSERT, op.ASSERT_NOT):
        return "look-around"
    if code in (op.GROUPREF, op.GROUPREF_EXISTS):
        return "a back-reference"
    if code in (op.ATOMIC_GROUP, op.POSSESSIVE_REPEAT):
        return "a possessive or atomic group"
    if code is op.AT:
        return "an anchor or boundary in the middle" if value in _STARTS + _ENDS else "a boundary"
    return str(code).lower()
