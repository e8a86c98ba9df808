"""Prompts to tokens for one model: its tokenizer and its chat format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ramify.backend import contract
from ramify.backend.chat import ChatFormat
from ramify.backend.tokenizer import Tokenizer
from ramify.ir.prompt import Block, NodeId, Ref
from ramify.ir.vectors import Mixed, Vectors

if TYPE_CHECKING:
    from ramify.backend.rendering import Rendering


@dataclass(frozen=True, slots=True)
class Answered:
    """What a node generated: token ids of the named tokenizer, and their text."""

    ids: tuple[int, ...]
    text: str
    tokenizer_name: str


class Values(Protocol):
    """The results that a prompt reads. Every node that the prompt reads must be done."""

    def answer(self, node: NodeId) -> Answered:
        """What a node wrote at the place where its answer stands."""
        ...

    def text(self, ref: Ref) -> str:
        """A value as text."""
        ...

    def piece(self, ref: Ref) -> str | Vectors | Mixed:
        """A value as a model reads it: with vectors where it holds vectors, else its text."""
        ...

    def blocks(self, blocks: tuple[Block, ...] | Ref) -> tuple[Block, ...]:
        """The blocks of a join: those given that are to be read, or those of an Each or First."""
        ...


class Renderer:
    """Turns prompts into tokens such that a prompt's tokens are a prefix of its extensions'."""

    def __init__(self, tokenizer: Tokenizer, chat: ChatFormat) -> None:
        self.tokenizer = tokenizer
        self.chat = chat
        self._answer_ends = chat.answer_ends()
        # A model ends its answer by the tokenizer's end tokens or by what closes its message.
        assistant = chat.turns.get("assistant")
        closing = assistant.close if assistant else ()
        self.end_ids = tokenizer.end_ids | {i for i in closing if not tokenizer.bytes_of(i)}

    def count_text(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self.tokenizer.encode(text))

    def rendering(self, values: Values) -> Rendering:
        """A memory of rendered prompts, for one program run."""
        from ramify.backend.rendering import Rendering

        return Rendering(self, values)

    def answer_tail(self, prompt: contract.TokenPrompt) -> str:
        """The spaces that an answer to this prompt begins with and that are not part of its text.

        Told from the tokens at the prompt's end: the model's own message header.
        """
        ids = prompt.ids
        for run, tail in self._answer_ends.items():
            if ids[-len(run) :] == run:
                return tail
        return ""

    def encode_option(self, text: str, prompt: contract.TokenPrompt) -> tuple[int, ...]:
        """The tokens of a continuation of a prompt, for `select` and `score`."""
        return self.tokenizer.encode(self.answer_tail(prompt) + text)
