"""Equal work of several rows: counted once, kept within bounds, and done anew where it failed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

import ramify as rf
from ramify.errors import BackendDiedError
from ramify.runtime.shared import SharedWork


@rf.program
def ask(s: rf.State, text: str) -> Any:
    s += rf.user(text)
    s += rf.assistant(rf.gen("answer"))
    return s["answer"]


def test_tokens_count_for_the_row_that_did_the_work() -> None:
    alone = ask.run("a", backend=rf.FakeBackend())
    results = ask.run_batch([{"text": "a"}] * 3, backend=rf.FakeBackend())
    assert results.usage.output_tokens == alone.usage.output_tokens > 0
    assert [r.usage.output_tokens for r in results].count(0) == 2
    assert len({r.text for r in results}) == 1


def test_after_a_failure_the_next_row_leads() -> None:
    asked: list[str] = []

    def fail(request: Any) -> Exception | None:
        asked.append(request.label)
        return BackendDiedError("gone") if len(asked) == 1 else None

    results = ask.run_batch([{"text": "a"}] * 4, backend=rf.FakeBackend(fail=fail), concurrency=1)
    assert len(results.failed) == 1
    assert len(asked) == 2  # the row that failed, and one for all others


class Tags(BaseModel):
    tags: list[str]


@pytest.mark.parametrize("schema", [Tags, Tags.model_json_schema()], ids=["model", "dict"])
def test_rows_with_equal_work_have_values_of_their_own(schema: Any) -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("Which tags?")
        s += rf.assistant(rf.gen("found", schema=schema))
        return s["found"]

    def tags(result: rf.Result) -> list[str]:
        found = result.value
        return found.tags if isinstance(found, Tags) else found["tags"]

    backend = rf.FakeBackend(reply='{"tags": ["a"]}')
    results = p.run_batch([{}] * 3, backend=backend)
    assert len(backend.calls) == 1 and [tags(r) for r in results] == [["a"]] * 3
    for number, result in enumerate(results):
        tags(result).append(str(number))
    assert [tags(r) for r in results] == [["a", str(number)] for number in range(3)]


def test_what_a_row_does_to_its_value_is_not_seen_by_rows_after_it() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("found", schema={"type": "array", "items": {"type": "string"}})
        found = s["found"].resolve()
        found.append("mine")
        return ",".join(found)

    backend = rf.FakeBackend(reply='["a"]')
    results = p.run_batch([{}] * 3, backend=backend, concurrency=1)
    assert len(backend.calls) == 1 and [r.text for r in results] == ["a,mine"] * 3


def test_the_oldest_outcomes_go_first() -> None:
    import asyncio

    async def fill() -> None:
        shared = SharedWork(limit=2)
        for key in "abc":
            shared._remember(key, asyncio.get_running_loop().create_future())
        assert list(shared._futures) == ["b", "c"]

    asyncio.run(fill())


@pytest.mark.parametrize("options", [["a", " a"], [" a", "a"]])
@pytest.mark.parametrize("method", ["normalized", "likelihood", "greedy"])
def test_of_equal_options_the_first_is_chosen(options: list[str], method: Any) -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.select("x", options, method=method)
        return s["x"]

    backend = rf.FakeBackend(reply="a")
    if method == "likelihood":  # where sums are equal, too
        options = [options[0], options[0]]
    assert p.run(backend=backend).text == options[0]
