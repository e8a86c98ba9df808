"""The page about output in parts: its timelines are those of today, its snippets run."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import ramify as rf
from examples.timelines.draw import PAGE, drawn
from examples.timelines.runs import RUNS
from ramify.planner.steps import steps


@pytest.fixture(autouse=True)
def no_default_backend() -> Iterator[None]:
    yield
    rf.set_default_backend(None)


def test_the_timelines_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- timeline: (\w+) -->", page)) == set(RUNS)
    assert page == drawn(page), "run python -m examples.timelines.draw"


def test_the_snippets_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"),
                        re.MULTILINE | re.DOTALL)  # fmt: skip
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    assert len(blocks) == 2 and capsys.readouterr().out


@pytest.mark.parametrize("name", RUNS)
def test_bars_start_when_what_they_read_is_there(name: str) -> None:
    result = RUNS[name]()
    assert result.plan is not None
    text = steps(result.plan, result.accounts)
    calls = [a for a in result.accounts.values() if a.prompt_tokens]
    assert len(text.splitlines()) == len(calls) + 1
    written = sum(int(line.split()[-1]) for line in text.splitlines()[1:])
    assert written == result.usage.output_tokens
    total = int(text.splitlines()[0].split()[1])
    assert max(a.output_tokens for a in calls) <= total <= sum(
        a.output_tokens + -(-a.computed_tokens // 64) for a in calls
    )
