"""rf.resolve: what is looked at comes back in its own place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError


def asked(s: Any) -> tuple[Any, Any]:
    branches = s.fork(2)
    branches += lambda i: rf.user(f"branch {i}")
    branches += rf.assistant(rf.gen("text", max_tokens=4))
    s += rf.gen("after", max_tokens=4)
    return branches, s["after"]


def check(found: list[Any], result: Any) -> None:
    texts, after, names, text = found
    assert [t.startswith(f"User: branch {i}") for i, t in enumerate(texts)] == [True, True]
    assert [t.strip().endswith(name) for t, name in zip(texts, names, strict=True)] == [True, True]
    assert after == result["after"] and text == after


def test_branches_and_states_stand_for_their_texts_and_move_nobody() -> None:
    kept: list[Any] = []

    @rf.program
    def p(s: rf.State) -> Any:
        branches, after = asked(s)
        kept.extend(rf.resolve(branches, after, branches["text"], s))
        return after

    result = p.run(backend="fake:")
    check(kept, result)


def test_the_same_in_async_programs() -> None:
    kept: list[Any] = []

    @rf.program
    async def p(s: rf.State) -> Any:
        branches, after = asked(s)
        kept.extend(await rf.aresolve(branches, after, branches["text"], s))
        return after

    result = asyncio.run(p.arun(backend="fake:"))
    check(kept, result)


def test_what_is_no_value_is_named() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        return rf.resolve(s, "text")

    with pytest.raises(ProgramError, match="'text' is not a value"):
        p.run(backend="fake:")


def test_each_over_a_list_that_is_known_late_is_one_value() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("items", schema=list[str], max_tokens=40)

        def body(branch: Any, item: str) -> None:
            branch += rf.user(item)
            branch += rf.assistant(rf.gen("t", max_tokens=2))

        made = s.each(s["items"], body)
        (branches, texts) = rf.resolve(made, made["t"])
        assert [one["t"] for one in branches] == texts
        return "ok"

    assert p.run(backend=rf.FakeBackend(reply={"items": '["a", "b"]'})).text == "ok"
