"""Prompts for people and for chat APIs: as text, and as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from ramify.backend.render import Values
from ramify.ir.prompt import Answer, Close, Open, Parallel, Prompt, Ref, Role, Segment, Text
from ramify.ir.vectors import Vectors


class Message(TypedDict):
    """A message as chat APIs take it."""

    role: Role
    content: str


def text_view(prompt: Prompt, values: Values) -> str:
    """The prompt as text: ``User: ...`` lines for messages, raw text as it is."""
    parts: list[str] = []
    for segment in _flat(prompt, values):
        if isinstance(segment, Open):
            parts.append(f"{segment.role.capitalize()}: ")
        elif isinstance(segment, Close):
            parts.append("\n")
        else:
            parts.append(_text(segment, values))
    return "".join(parts)


def messages_view(prompt: Prompt, values: Values) -> list[Message]:
    """The prompt as messages. Raw text between messages becomes a user message.

    A message that is open at the end is there if something was written into it.
    """
    messages: list[Message] = []
    parts: list[str] = []
    role: Role | None = None

    def end() -> None:
        if parts or role is not None:
            messages.append({"role": role or "user", "content": "".join(parts)})
            parts.clear()

    for segment in _flat(prompt, values):
        if isinstance(segment, Open):
            end()
            role = segment.role
        elif isinstance(segment, Close):
            end()
            role = None
        else:
            text = _text(segment, values)
            if text:
                parts.append(text)
    if parts:
        end()
    return messages


def _flat(prompt: Prompt, values: Values) -> Iterator[Segment]:
    """The segments in order, with parallel blocks one after another."""
    work: list[Segment] = prompt.segments()[::-1]
    while work:
        segment = work.pop()
        if isinstance(segment, Parallel):
            for block in reversed(values.blocks(segment.blocks)):
                work += reversed(block.segments())
        else:
            yield segment


def _text(segment: Segment, values: Values) -> str:
    if isinstance(segment, Text):
        return segment.text
    if isinstance(segment, Answer):
        return values.answer(segment.node).text
    if isinstance(segment, Ref):
        return values.text(segment)
    if isinstance(segment, Vectors):
        return str(segment)
    return ""
