"""Python regexes in the dialect of linear-time engines."""

from __future__ import annotations

import pytest

from ramify.backend.regex import linear_regex
from ramify.errors import ConstraintError


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(", "is invalid"),
        ("x(?=y)", "look-around"),
        ("(?<!y)x", "look-around"),
        (r"(a)\1", "a back-reference"),
        ("(a)?(?(1)b|c)", "a back-reference"),
        (r"a\bb", "a boundary"),
        ("a$b", "an anchor or boundary in the middle"),
        ("(a^)b", "an anchor or boundary in the middle"),
        ("a++", "a possessive or atomic group"),
        ("(?>a|ab)c", "a possessive or atomic group"),
    ],
)
def test_what_cannot_be_enforced_is_named(pattern: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        linear_regex(pattern)


def test_anchors_at_the_ends_say_nothing_new() -> None:
    assert linear_regex("^a$") == linear_regex("a") == linear_regex(r"\Aa\Z")
    assert linear_regex("^ab$|^cd$") == linear_regex("ab|cd")
    assert linear_regex("(^a)") == linear_regex("(a)")


def test_flags_and_repeats() -> None:
    assert linear_regex("(?i)a") == r"(?i:\x{61})"
    assert linear_regex("(?i:a)b") == r"(?:(?i:\x{61}))\x{62}"
    assert linear_regex("(?s).") == "(?s:.)" and linear_regex(".") == "."
    assert linear_regex("a{,3}") == r"(?:\x{61}){0,3}" and linear_regex("a+?") == r"(?:\x{61}){1,}"
    assert linear_regex(r"(?a)\d") == "[[0-9]]"
