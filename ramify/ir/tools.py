"""Tools that a model may call, and how calls read as text.

A call stands in an answer as `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, the form
in which many open models were trained to write it (Hermes, Qwen). A server that has a form of its
own for calls gets and gives that; everywhere else the text is all there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_CALL = re.compile(rf"{OPEN}\s*(.*?)\s*{CLOSE}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model is told of a tool. `parameters` is a JSON schema of an object, as compact JSON
    with its keys in order: the same tool is always the same text."""

    name: str
    description: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call as a model wrote it: `arguments` is a JSON object, as text."""

    name: str
    arguments: str


def describe(tools: Sequence[Tool]) -> str:
    """The tools and the form of calls, for a model that is told in words."""
    listed = "\n".join(
        f'{{"name": {json.dumps(tool.name)}, "description": {json.dumps(tool.description)}, '
        f'"parameters": {tool.parameters}}}'
        for tool in tools
    )
    return (
        f"You may call these functions:\n{listed}\n"
        "To call one, write a line of this form and nothing after it; several lines for several "
        f'calls:\n{OPEN}{{"name": NAME, "arguments": {{...}}}}{CLOSE}'
    )


def spell(said: str, calls: Sequence[Called]) -> str:
    """An answer with calls as text."""
    lines = [said] if said else []
    for call in calls:
        name = json.dumps(call.name, ensure_ascii=False)
        lines.append(f'{OPEN}{{"name": {name}, "arguments": {call.arguments}}}{CLOSE}')
    return "\n".join(lines)


def read(text: str) -> tuple[str, list[Called]]:
    """What an answer says, and its calls. Raises ValueError for a call that cannot be read."""
    said = _CALL.sub("", text)
    if OPEN in said:
        raise ValueError("a tool call has no end")
    calls = []
    for raw in _CALL.findall(text):
        try:
            found = json.loads(raw)
            name, arguments = found["name"], found.get("arguments", {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a tool call is not of the form asked for: {raw[:80]!r}") from error
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ValueError(f"a tool call is not of the form asked for: {raw[:80]!r}")
        calls.append(Called(name, json.dumps(arguments, ensure_ascii=False)))
    return said.strip() if calls else text, calls
