"""Rows are given to actors so that shared beginnings stay together; nothing is lost."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramify as rf
from ramify.errors import ProgramError
from ramify.runtime.ray import RayOptions, chunks
from ramify.runtime.ray.partition import in_order

rows = st.lists(
    st.fixed_dictionaries({"page": st.integers(0, 3), "word": st.text(max_size=2)}), max_size=60
)


@given(rows, st.integers(1, 9), st.integers(1, 40), st.integers(1, 4))
def test_every_row_comes_once(
    given_rows: list[dict[str, Any]], size: int, window: int, parts: int
) -> None:
    numbered = list(enumerate(given_rows))
    found = []
    for stretches in chunks(numbered, size=size, window=window, parts=parts):
        assert len(stretches) <= parts
        for stretch in stretches:
            assert all(0 < len(chunk) <= size for chunk in stretch)
            found += [row for chunk in stretch for row in chunk]
    assert sorted(found, key=lambda row: row[0]) == numbered


@given(rows)
def test_rows_of_a_page_stand_together(given_rows: list[dict[str, Any]]) -> None:
    different = [dict(row, word=f"{row['word']}{i}") for i, row in enumerate(given_rows)]
    pages = [row["page"] for _, row in in_order(list(enumerate(different)))]
    changes = sum(a != b for a, b in pairwise(pages))
    assert changes == max(0, len(set(pages)) - 1)


@rf.program
def echo(s: rf.State, word: str) -> Any:
    s += rf.user(word)
    s += rf.assistant(rf.gen("a", max_tokens=4))
    return s["a"]


def test_misuse_is_named() -> None:
    with pytest.raises(ProgramError, match="workers=0 is not allowed"):
        RayOptions(workers=0)
    with pytest.raises(ProgramError, match="executor='dask' is unknown"):
        echo.run_batch([{"word": "x"}], backend="fake:", executor="dask")  # type: ignore[arg-type]
    with pytest.raises(ProgramError, match=r"not installed here|named by a string"):
        echo.run_batch([{"word": "x"}], backend=rf.FakeBackend(), executor="ray")
