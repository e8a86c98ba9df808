"""Answering with tools: which calls, on what prompt, in which order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ConstraintError, ProgramError, RamifyError
from ramify.ir.tools import Called, describe, read, spell
from tests.dsl.patterns.calls import names

CALL = '<tool_call>{"name": "NAME", "arguments": ARGUMENTS}</tool_call>'


def called(name: str, arguments: str) -> str:
    return CALL.replace("NAME", name).replace("ARGUMENTS", arguments)


def sea(place: str, deep: bool = False) -> str:
    """What the sea is like."""
    return f"{place} is {'deep' if deep else 'calm'}"


def count(names: list[str]) -> int:
    return len(names)


def test_the_model_calls_until_it_knows() -> None:
    said = [
        "I look.\n"
        + called("sea", '{"place": "Oldworth"}')
        + "\n"
        + called("count", '{"names": ["a", "b"]}'),
        called("sea", '{"place": "Oldworth", "deep": true}'),
        "Deep.",
    ]
    backend = rf.FakeBackend(reply=said)
    result = rf.patterns.use_tools.run("How is the sea?", [sea, count], backend=backend)
    assert result.text == "Deep."
    assert result["step0"].text == "I look."
    calls = backend.calls
    assert names(calls) == ["step0", "step1", "step2"]
    assert calls[0].text.index('"count"') < calls[0].text.index('"sea"')  # in order of names
    assert "<|tool|>Oldworth is calm<|end|><|tool|>2<|end|>" in calls[1].text
    assert "<|tool|>Oldworth is deep<|end|>" in calls[2].text
    for before, after in pairwise(calls):  # the tools stand first: every prompt begins alike
        assert after.text.startswith(before.text + before.answer)
        assert after.cached >= before.tokens


def test_calls_that_make_no_sense_are_told_and_rounds_end() -> None:
    said = [called("see", "{}"), called("sea", '{"where": 1}'), called("sea", '{"place": []}')]
    backend = rf.FakeBackend(reply=[*said, "calm"])
    result = rf.patterns.use_tools.run("?", [sea], steps=3, backend=backend)
    assert result.text == "calm" and names(backend.calls)[-1] == "answer"
    last = backend.calls[-1].text
    assert "There is no function 'see'. There are: sea." in last
    assert last.count("sea was not called") == 2
    assert "Answer now, without calling anything." in last


def test_errors_of_tools_and_of_their_form_have_names() -> None:
    def broken(x: int) -> int:
        raise OSError("no sea here")

    once = rf.FakeBackend(reply=[called("broken", '{"x": 1}')])
    with pytest.raises(RamifyError, match="node 'broken': OSError: no sea here"):
        rf.patterns.use_tools.run("?", [broken], backend=once)
    for said in ("<tool_call>{", called("sea", "[1]"), called("sea", "{")):
        with pytest.raises(ConstraintError, match=r"step0.*tool call"):
            rf.patterns.use_tools.run("?", [sea], backend=rf.FakeBackend(reply=[said]))


def same(a: int, /) -> None: ...


@pytest.mark.parametrize(
    ("tools", "options", "error"),
    [
        ([], {}, "Give a list of functions"),
        (sea, {}, "Give a list of functions"),
        ([lambda: 1], {}, "function with a name"),
        ([sea, sea], {}, "two tools are named 'sea'"),
        ([same], {}, "by the names of arguments"),
        ([sea], {"n": 2, "temperature": 1.0}, "cannot be combined"),
        ([sea], {"regex": "a"}, "cannot be combined"),
        ([sea], {"organize": "skeleton"}, "cannot be combined"),
    ],
)
def test_what_cannot_be_tools(tools: Any, options: Any, error: str) -> None:
    with pytest.raises(ProgramError, match=error):
        rf.gen("x", tools=tools, **options)


def test_calls_as_text_are_read_back() -> None:
    calls = [Called("a", '{"x": "é <b>"}'), Called("b", "{}")]
    assert read(spell("so", calls)) == ("so", calls)
    assert read("no calls") == ("no calls", [])
    assert describe(()) == describe([])
