"""Vectors as a piece of a prompt, on the fake backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import ramify as rf
from ramify.backend.contract import Delta, Request, TokenPrompt
from ramify.errors import CapabilityError, ProgramError
from ramify.ir import Vectors

SOFT = [[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]]


class Reads(rf.FakeBackend):
    """Takes vectors, and keeps the prompts that it is asked."""

    def __init__(self) -> None:
        super().__init__(reply="ok")
        self.capabilities = replace(self.capabilities, embeddings_in=True)
        self.prompts: list[TokenPrompt] = []

    def generate(self, request: Request) -> AsyncIterator[Delta]:
        self.prompts.append(request.prompt)
        return super().generate(request)


def given() -> Any:
    return rf.vectors(SOFT)


@pytest.mark.parametrize("late", [False, True])
def test_vectors_stand_where_they_were_appended(late: bool) -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        soft = rf.call(given) if late else rf.vectors(SOFT)
        s += rf.user("before", soft, "after")
        s += rf.assistant(rf.gen("a"))
        s += rf.user(soft)
        s += rf.assistant(rf.gen("b"))
        return s.text()

    backend = Reads()
    result = p.run(backend=backend)
    assert result.text.startswith("User: before[3 vectors]after\n")
    first, second = backend.prompts
    assert second.vectors[0] == first.vectors[0] and len(second.vectors) == 2
    span = first.vectors[0]
    assert span.vectors == Vectors.of(SOFT) and span.stop - span.start == 3
    assert first.ids[span.start : span.stop] == (0, 0, 0)
    text = backend.renderer.tokenizer
    assert text.decode(first.ids[: span.start]).endswith("before")
    assert text.decode(first.ids[span.stop :]).startswith("after")


def test_a_prompt_may_begin_with_vectors() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += [rf.vectors(SOFT), "then", rf.gen("a")]
        return s["a"]

    backend = Reads()
    assert p.run(backend=backend).text == "ok"
    start = len(backend.renderer.tokenizer.start_ids)
    assert backend.prompts[0].vectors[0].start == start


def test_equal_work_is_equal_numbers() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        rows = [SOFT, SOFT, [[9.0, 9.0]] * 3]
        branches = s.fork(3)
        for branch, soft in zip(branches, rows, strict=True):
            branch += [rf.vectors(soft), rf.gen("a")]
        return rf.lines(branches["a"])

    backend = Reads()
    assert p.run(backend=backend).text == "ok\nok\nok"
    assert len(backend.prompts) == 2  # the two that are equal are asked once


def test_a_backend_without_them_refuses_by_name() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user(rf.vectors(SOFT))
        s += rf.assistant(rf.gen("answer"))
        return s["answer"]

    with pytest.raises(CapabilityError, match=r"'answer'.*vectors.*'fake'.*embeddings_in.*radix"):
        p.run(backend=rf.FakeBackend())


def test_vectors_are_no_text() -> None:
    with pytest.raises(ProgramError, match="f-string"):
        f"{rf.vectors(SOFT)}"
    with pytest.raises(ProgramError, match="shape"):
        rf.vectors([1.0, 2.0])
