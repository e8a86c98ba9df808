"""Tool calls as the protocol has them: what is sent of a tool, and calls made of deltas."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body
from ramify.ir.tools import Called, Tool, spell


def tool_body(tool: Tool) -> Body:
    """A tool in a request."""
    about: Body = {"name": tool.name, "parameters": json.loads(tool.parameters)}
    if tool.description:
        about["description"] = tool.description
    return {"type": "function", "function": about}


class CallParts:
    """The calls of one answer. In a stream their names and arguments come in pieces."""

    def __init__(self) -> None:
        self._parts: dict[int, list[str]] = {}  # of each call its name and its arguments

    def take(self, found: Any) -> None:
        """Take the `tool_calls` of a message or of a delta."""
        if not isinstance(found, Iterable):
            raise BrokenEventError(f"tool calls are {found!r}")
        for number, call in enumerate(found):
            about = call.get("function") if isinstance(call, dict) else None
            if not isinstance(about, dict):
                raise BrokenEventError(f"a tool call is {str(call)[:80]}")
            index = call.get("index", number)
            name, arguments = about.get("name") or "", about.get("arguments") or ""
            if not isinstance(arguments, str):  # some servers give the object itself
                arguments = json.dumps(arguments, ensure_ascii=False)
            held = self._parts.setdefault(index, ["", ""])
            held[0] += name
            held[1] += arguments

    def text(self, *, begun: bool) -> str:
        """All calls as text, on lines of their own where the answer has begun. Raises
        BrokenEventError for arguments that are not a JSON object."""
        calls = []
        for _, (name, arguments) in sorted(self._parts.items()):
            try:
                found = json.loads(arguments or "{}")
            except ValueError as error:
                raise BrokenEventError(f"the arguments of {name!r} are not JSON") from error
            if not name or not isinstance(found, dict):
                raise BrokenEventError(f"a tool call is {name!r} with {arguments[:80]!r}")
            calls.append(Called(name, json.dumps(found, ensure_ascii=False)))
        return ("\n" if begun and calls else "") + spell("", calls)
