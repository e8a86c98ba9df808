"""The guides tell the truth: their snippets run, and print what stands behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramify as rf

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ["language.md"]
_PRINTED = r"(?:\n^```text\n(.*?)^```\n)?"
_BLOCK = re.compile(r"^```python\n(.*?)^```\n" + _PRINTED, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def no_default_backend() -> Iterator[None]:
    yield
    rf.set_default_backend(None)


@pytest.mark.parametrize("name", GUIDES)
def test_every_snippet_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") > 0
    assert sum(block[2] is not None for block in blocks) == text.count("```text")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        # lines before it, so that a traceback names the line of the guide
        before = "\n" * (text.count("\n", 0, block.start(1)))
        code = compile(before + block[1], str(DOCS / name), "exec", dont_inherit=True)
        exec(code, names)
        printed = capsys.readouterr().out
        if block[2] is not None:
            assert printed == block[2]
