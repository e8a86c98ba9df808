"""Draws texts that a regular expression matches as a whole."""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random
from re import _constants as op  # type: ignore[attr-defined]  # the parser of re has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from string import ascii_letters, digits, punctuation
from typing import Any

from ramify.errors import ConstraintError

_ALPHABET = ascii_letters + digits + punctuation + " "
_EXTRA = 3  # repeats beyond the least
_ATTEMPTS = 64
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def sample_regex(pattern: str, rng: Random) -> str:
    """A text that `re.fullmatch(pattern, ...)` accepts.

    Drawn from the parsed pattern; look-around and boundaries are left to chance and checked.
    Raises ConstraintError where the pattern is invalid or no text was found.
    """
    compiled, tree = _parse(pattern)
    for _ in range(_ATTEMPTS):
        text = _Sampler(rng).run(tree)
        if compiled.fullmatch(text):
            return text
    raise ConstraintError(
        f"no text was found that the regex {pattern!r} matches.",
        hint="Look-around and anchors in the middle are hard to draw from.",
    )


@lru_cache(256)
def _parse(pattern: str) -> tuple[re.Pattern[str], Any]:
    try:
        return re.compile(pattern), parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConstraintError(f"the regex {pattern!r} is invalid: {error}.") from error


class _Sampler:
    """One draw: walks the parsed pattern."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._groups: dict[int, str] = {}

    def run(self, tree: Any) -> str:
        return "".join(self._item(code, value) for code, value in tree)

    def _item(self, code: Any, value: Any) -> str:
        if code is op.LITERAL:
            return chr(value)
        if code is op.NOT_LITERAL:
            return self._rng.choice([c for c in _ALPHABET if ord(c) != value])
        if code is op.ANY:
            return self._rng.choice(_ALPHABET)
        if code is op.IN:
            return self._set(value)
        if code is op.BRANCH:
            return self.run(self._rng.choice(value[1]))
        if code is op.SUBPATTERN:
            text = self.run(value[3])
            if value[0] is not None:
                self._groups[value[0]] = text
            return text
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, body = value
            times = self._rng.randint(low, min(int(high), low + _EXTRA))
            return "".join(self.run(body) for _ in range(times))
        if code is op.GROUPREF:
            return self._groups.get(value, "")
        if code is op.GROUPREF_EXISTS:
            group, yes, no = value
            branch = yes if group in self._groups else no
            return self.run(branch) if branch is not None else ""
        if code is op.ATOMIC_GROUP:
            return self.run(value)
        return ""  # anchors and look-around write nothing

    def _set(self, items: list[tuple[Any, Any]]) -> str:
        negated = items[0][0] is op.NEGATE
        if negated:
            allowed = [c for c in _ALPHABET if not any(_holds(item, c) for item in items[1:])]
            if not allowed:
                wide = map(chr, range(0x20, 0x3000))
                allowed = [c for c in wide if not any(_holds(item, c) for item in items[1:])]
        else:
            code, value = self._rng.choice(items)
            if code is op.LITERAL:
                return chr(value)
            if code is op.RANGE:
                return chr(self._rng.randint(*value))
            allowed = [c for c in _ALPHABET + "\n" if _holds((code, value), c)]
        if not allowed:
            raise ConstraintError("a character set of the regex has no characters.")
        return self._rng.choice(allowed)


def _holds(item: tuple[Any, Any], character: str) -> bool:
    code, value = item
    if code is op.LITERAL:
        return bool(ord(character) == value)
    if code is op.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    return re.match(_CATEGORIES[value], character) is not None
