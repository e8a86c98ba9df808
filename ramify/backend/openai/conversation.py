"""Prompts back to messages: for servers that take text and tokenize it themselves.

Such a backend renders with `WordTokenizer`, whose ids spell text and mark where messages begin and
end, so a rendered prompt can be read back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ramify.backend.chat import ROLES
from ramify.backend.word_tokenizer import WordTokenizer
from ramify.errors import CapabilityError
from ramify.ir.prompt import Role
from ramify.ir.tools import Called, read

Body = dict[str, Any]


@dataclass(slots=True)
class Conversation:
    """Messages (role, content), and how the prompt ends."""

    messages: list[tuple[Role, str]] = field(default_factory=list)
    raw: bool = True  # no message at all: plain text
    open: Role | None = None  # the role of the message in whose middle the prompt ends
    begun: bool = False  # and whether something stands in it

    @property
    def text(self) -> str:
        """All contents, one after another."""
        return "".join(content for _, content in self.messages)


def read_conversation(tokenizer: WordTokenizer, ids: Sequence[int]) -> Conversation:
    """The messages that a prompt spells; raw text outside of messages is a user message.

    A message that is open at the end and empty is left out; `open` tells its role.
    """
    roles: dict[int, Role] = {tokenizer.control[f"<|{role}|>"]: role for role in ROLES}
    end = tokenizer.control["<|end|>"]
    found = Conversation()
    role: Role | None = None
    held: list[int] = []

    def close() -> None:
        if held or role is not None:
            found.messages.append((role or "user", tokenizer.decode(held)))
            held.clear()

    for token in ids:
        if token in roles:
            close()
            role = roles[token]
            found.raw = False
        elif token == end:
            close()
            role = None
        elif token not in tokenizer.start_ids:
            held.append(token)
    found.open, found.begun = role, role is not None and bool(held)
    if held:
        close()
    return found


def for_chat(found: Conversation, *, server: str, can_go_on: bool) -> bool:
    """Check that a chat server can write here; whether it goes on in the middle of a message.

    Raises CapabilityError where the model would have to write another role's message, or to go on
    in its own where the server cannot.
    """
    if found.open not in (None, "assistant"):
        raise CapabilityError(
            f"{server} writes assistant messages only, not a part of a {found.open} message.",
            hint="Put the rf.gen into rf.assistant(...).",
        )
    if found.begun and not can_go_on:
        raise CapabilityError(
            f"{server} cannot go on in the middle of an assistant message.",
            hint="Let rf.gen begin the message, or use a server that takes tokens.",
        )
    return found.begun


def messages_of(found: Conversation, *, tools: bool, tool_role: bool) -> list[Body]:
    """The messages as the protocol has them.

    With `tools`, an assistant message with calls that is followed by as many tool messages becomes
    calls and their results. Other tool messages are a user's where there is no `tool_role`.
    """
    made: list[Body] = []
    rest = list(found.messages)
    while rest:
        role, content = rest.pop(0)
        said, calls = _calls_of(content) if tools and role == "assistant" else (content, [])
        results = rest[: len(calls)]
        if calls and len(results) == len(calls) and all(one == "tool" for one, _ in results):
            del rest[: len(calls)]
            names = [f"call_{len(made)}_{number}" for number in range(len(calls))]
            made.append(
                {"role": role, "content": said or None, "tool_calls": _spelled(names, calls)}
            )
            for name, (_, result) in zip(names, results, strict=True):
                made.append({"role": "tool", "tool_call_id": name, "content": result})
        elif role == "tool" and not tool_role:
            made.append({"role": "user", "content": f"Tool: {content}"})
        else:
            made.append({"role": role, "content": content})
    return made


def _calls_of(text: str) -> tuple[str, list[Called]]:
    try:
        return read(text)
    except ValueError:  # no calls: the message stays as it is
        return text, []


def _spelled(names: Sequence[str], calls: Sequence[Called]) -> list[Body]:
    return [
        {
            "id": name,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for name, call in zip(names, calls, strict=True)
    ]
