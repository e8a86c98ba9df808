"""The page about backends shows what the backends declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from ramify.backend.table import declared, table, with_table

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"


def test_the_page_has_the_table_of_the_code() -> None:
    text = PAGE.read_text("utf-8")
    assert with_table(text) == text, "run `make docs`"
    assert all(name in table() for name in declared())


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_table("nothing")
