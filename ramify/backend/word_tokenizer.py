"""A tokenizer without a vocabulary: an id is its piece of text, written as a number."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ramify.backend.chat import ROLES, ChatFormat, Turn
from ramify.backend.tokenizer import EncodeCache
from ramify.ir.prompt import Role

_PIECE = re.compile(r" ?\w{1,3}|.", re.DOTALL)  # word-like, at most four characters
_CONTROL = ("<|start|>", "<|end|>", *(f"<|{role}|>" for role in ROLES))
_FIRST_PIECE = 256  # control ids are below


class WordTokenizer:
    """Word-like pieces of at most four characters; stateless and reversible for any text."""

    def __init__(self) -> None:
        self.name = "fake:words-4"
        self.vocab_size = 1 << (8 * 17)  # a one byte, then at most 16 bytes of UTF-8
        self.control = {spelling: number for number, spelling in enumerate(_CONTROL)}
        self.end_ids = frozenset({self.control["<|end|>"]})
        self.start_ids: tuple[int, ...] = (self.control["<|start|>"],)
        self._spelling = dict(enumerate(_CONTROL))
        self._markers = re.compile("|".join(map(re.escape, _CONTROL)))
        self._pieces: dict[str, int] = {}
        self._cache = EncodeCache(self._encode)

    def encode(self, text: str, *, first: bool = False) -> tuple[int, ...]:
        return self._cache(text)

    def _encode(self, text: str) -> tuple[int, ...]:
        known = self._pieces
        ids = []
        for piece in _PIECE.findall(text):
            number = known.get(piece)
            if number is None:
                data = b"\x01" + piece.encode("utf-8", "surrogatepass")
                number = known[piece] = int.from_bytes(data, "big")
            ids.append(number)
        return tuple(ids)

    def encode_control(self, text: str) -> tuple[int, ...]:
        ids: list[int] = []
        end = 0
        for found in self._markers.finditer(text):
            ids += self.encode(text[end : found.start()])
            ids.append(self.control[found[0]])
            end = found.end()
        return (*ids, *self.encode(text[end:]))

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", "replace")

    def bytes_of(self, token: int) -> bytes:
        if token < _FIRST_PIECE:
            return b""
        return token.to_bytes((token.bit_length() + 7) // 8, "big")[1:]

    def spell(self, ids: Iterable[int]) -> str:
        """The text of ids with control tokens spelled out: for people."""
        return "".join(self._spelling.get(i) or self.decode((i,)) for i in ids)

    def chat_format(self) -> ChatFormat:
        """``<|role|>`` content ``<|end|>`` for every role, after ``<|start|>``."""
        close = (self.control["<|end|>"],)
        turns: dict[Role, Turn] = {}
        for role in ROLES:
            open_ = (self.control[f"<|{role}|>"],)
            turns[role] = Turn(open_, open_, "", close)
        return ChatFormat(self.name, self.start_ids, turns)
