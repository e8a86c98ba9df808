"""Text to `/chat/completions` or `/completions` and back, for servers that tokenize themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ramify.backend.contract import Delta, Request
from ramify.backend.openai.choices import Choices
from ramify.backend.openai.conversation import (
    Conversation,
    for_chat,
    messages_of,
    read_conversation,
)
from ramify.backend.openai.dialect import Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.tool_calls import CallParts, tool_body
from ramify.backend.openai.wire import Body
from ramify.backend.word_tokenizer import WordTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWire:
    """Messages go to the chat endpoint; raw text to the other one, where the server has it."""

    model: str
    dialect: Dialect
    tokenizer: WordTokenizer
    completions: bool  # whether raw text has an endpoint of its own
    limit_field: str = "max_tokens"  # of the chat endpoint
    cache_hints: bool = False
    reasoning: bool = False
    tools: bool = False  # whether the server has tool calls of its own

    def send(self, request: Request) -> tuple[str, Body]:
        found = read_conversation(self.tokenizer, request.prompt.ids)
        body: Body = {"model": self.model}
        body |= self.dialect.sampling(request.sampling)
        body |= self.dialect.constraint(request.constraint)
        if request.samples > 1:
            body["n"] = request.samples
        if found.raw and self.completions and not request.tools:
            return "/completions", body | {"prompt": found.text}
        go_on = self.dialect.go_on
        begun = for_chat(
            found,
            server=f"a server of kind {self.dialect.name!r}",
            can_go_on=go_on is not None,
        )
        if begun:
            body |= go_on or {}
        if request.tools:
            body["tools"] = [tool_body(tool) for tool in request.tools]
        body[self.limit_field] = body.pop("max_tokens")
        return "/chat/completions", body | {"messages": self._messages(found)}

    def _messages(self, found: Conversation) -> list[Body]:
        messages = messages_of(found, tools=self.tools, tool_role=self.dialect.tool_role)
        if self.cache_hints and messages:
            first = messages[0]
            part = {"type": "text", "text": first["content"]}
            first["content"] = [part | {"cache_control": {"type": "ephemeral"}}]
        return messages

    def reader(self, request: Request) -> TextReader:
        choices = request.constraint is not None and request.constraint.kind == "choices"
        return TextReader(
            self.tokenizer,
            len(request.prompt),
            request.samples,
            wrapped=choices and self.dialect.wrapped_choices,
            reasoning=self.reasoning,
        )


class TextReader:
    """Reads choices that have text, or messages with content."""

    done = False

    def __init__(
        self, tokenizer: WordTokenizer, prompt: int, samples: int, *, wrapped: bool, reasoning: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._wrapped: list[list[str]] | None = [[] for _ in range(samples)] if wrapped else None
        self._reasoning = reasoning
        self._thinking = [False] * samples
        self._calls = [CallParts() for _ in range(samples)]
        self._output = [0] * samples
        self._choices = Choices(samples)

    def take(self, event: Body) -> list[Delta]:
        found = []
        for index, choice in self._choices.read(event):
            text = self._text(choice, index)
            if text and self._wrapped is not None:
                self._wrapped[index].append(text)
            elif text:
                found.append(self._delta(text, index))
        return found

    def _text(self, choice: Body, index: int) -> str:
        """What a choice says; reasoning content only if it was asked for."""
        message: Any = choice.get("delta") or choice.get("message") or choice
        if not isinstance(message, dict):
            raise BrokenEventError(f"a choice says {message!r}")
        self._calls[index].take(message.get("tool_calls") or ())
        said = message.get("content") or message.get("text") or ""
        if not isinstance(said, str):
            raise BrokenEventError(f"a choice has the content {said!r}")
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        if not self._reasoning or not (thought or self._thinking[index]):
            return said
        before, after = "", ""
        if thought and not self._thinking[index]:
            before, self._thinking[index] = "<think>", True
        if said and self._thinking[index]:
            after, self._thinking[index] = "</think>", False
        return f"{before}{thought}{after}{said}"

    def _delta(self, text: str, index: int) -> Delta:
        ids = self._tokenizer.encode(text)
        self._output[index] += len(ids)
        return Delta(ids, text, index=index)

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        found = []
        for index, why in self._choices.ends():
            last = Delta(index=index)
            if self._wrapped is not None:
                last = self._delta(_unwrap("".join(self._wrapped[index])), index)
            called = self._calls[index].text(begun=self._output[index] > 0)
            if called:
                last = self._delta(called, index)
            output = self._output[index] if len(self._output) == 1 else None
            usage = self._choices.usage(index, self._prompt, output, first_s, total_s)
            found.append(Delta(last.ids, last.text, why, usage, index=index))
        return found


def _unwrap(text: str) -> str:
    try:
        return str(json.loads(text)["answer"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenEventError(f"the choice is not in {text[:80]!r}") from error
