"""Tool calls: by the server's own form where it has one, in words elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

import ramify as rf
from ramify.backend.openai import OpenAIBackend
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.tool_calls import CallParts
from ramify.ir.tools import read
from tests.backend.openai.spec_server import SpecServer


def depth(place: int) -> str:
    """How deep the water is.

    Not told to the model.
    """
    return f"{place + 7} fathoms"


async def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


CALLS = (
    '<tool_call>{"name": "add", "arguments": {"a": 0, "b": 0}}</tool_call>\n'
    '<tool_call>{"name": "depth", "arguments": {"place": 1}}</tool_call>'
)


@pytest.mark.parametrize("stream", [True, False])
def test_calls_and_results_travel_in_the_servers_form(stream: bool) -> None:
    with SpecServer("openai").running() as server:
        backend = OpenAIBackend.open(f"small@{server.url}", leader_first=stream)
        assert backend.capabilities.tools
        result = rf.patterns.use_tools.run(
            "How deep?", [depth, add], system_text="Be short.", backend=backend
        )
        assert [call.name for call in result["step0"].calls] == ["add", "depth"]
        assert result.text == str(result["step1"].text) and "<tool" not in result.text
        asked, answered = server.posts("/v1/chat/completions")[-2:]
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["add", "depth"]
        told = asked["tools"][1]["function"]
        assert told["description"] == "How deep the water is."
        assert told["parameters"] == {
            "additionalProperties": False,
            "properties": {"place": {"type": "integer"}},
            "required": ["place"],
            "type": "object",
        }
        assert asked["messages"] == [  # nothing about tools in words
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "How deep?"},
        ]
        called, *results = answered["messages"][2:]
        assert called["role"] == "assistant" and called["content"] is None
        assert [one["function"] for one in called["tool_calls"]] == [
            {"name": "add", "arguments": '{"a": 0, "b": 0}'},
            {"name": "depth", "arguments": '{"place": 1}'},
        ]
        names = [one["id"] for one in called["tool_calls"]]
        assert results == [
            {"role": "tool", "tool_call_id": names[0], "content": "0"},
            {"role": "tool", "tool_call_id": names[1], "content": "8 fathoms"},
        ]


def test_a_server_that_is_not_ready_for_tools_is_told_in_words() -> None:
    with SpecServer("vllm", refuses_tools=True).running() as server:
        backend = OpenAIBackend.open(f"small@{server.url}", wire="chat")
        assert not backend.capabilities.tools
        result = rf.patterns.use_tools.run("How deep?", [depth], backend=backend)
        assert result.text
        sent = server.posts("/v1/chat/completions")[-1]
        system, user = sent["messages"]
        assert "tools" not in sent and user["content"] == "How deep?"
        assert system["role"] == "system" and '"name": "depth"' in system["content"]


def test_calls_are_put_together_from_pieces() -> None:
    parts = CallParts()
    for index, name, arguments in [(1, "depth", ""), (0, "add", '{"a": 0,'), (1, "", '{"place":')]:
        function = {"name": name, "arguments": arguments}
        parts.take([{"index": index, "function": function}])
    parts.take([{"index": 0, "function": {"arguments": ' "b": 0}'}}])
    parts.take([{"index": 1, "function": {"arguments": "1}"}}])
    assert parts.text(begun=False) == CALLS
    said, calls = read(f"I look.\n{CALLS}")
    assert said == "I look." and [call.name for call in calls] == ["add", "depth"]
    whole = CallParts()
    whole.take([{"function": {"name": "depth", "arguments": {"place": 1}}}])
    assert read(whole.text(begun=True))[1] == calls[1:]


@pytest.mark.parametrize(
    "found", [5, ["x"], [{"function": {"name": "f", "arguments": "{"}}], [{"function": {}}]]
)
def test_broken_calls_are_named(found: Any) -> None:
    with pytest.raises(BrokenEventError, match=r"tool call|arguments of"):
        parts = CallParts()
        parts.take(found)
        parts.text(begun=False)
