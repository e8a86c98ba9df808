"""What Ramify asks of a tokenizer: text to ids and back, byte for byte."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back.

    Every id stands for a fixed run of bytes, so texts of runs of ids join up:
    `decode(a + b)` is the UTF-8 text of `a`'s bytes followed by `b`'s. Control tokens (special
    tokens: message borders, start and end of a text) stand for no bytes.
    """

    name: str  # equal names mean equal ids
    vocab_size: int  # ids are below this
    end_ids: frozenset[int]  # the tokens by which a model ends its answer
    start_ids: tuple[int, ...]  # what stands before a raw prompt, where the model wants something

    def encode(self, text: str, *, first: bool = False) -> tuple[int, ...]:
        """The ids of text that goes on after other text; never a control token.

        `first` marks the very beginning of a raw prompt: some tokenizers put a space there.
        """
        ...

    def encode_control(self, text: str) -> tuple[int, ...]:
        """The ids of text of our own, in which a spelled control token is that token."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD."""
        ...

    def bytes_of(self, token: int) -> bytes:
        """The bytes of one token; empty for a control token or an unknown id."""
        ...


class EncodeCache:
    """Encodings by text, least recently used out first, bounded by characters. Thread-safe."""

    def __init__(
        self, encode: Callable[[str], tuple[int, ...]], *, characters: int = 4_000_000
    ) -> None:
        self._encode = encode
        self._limit = characters
        self._size = 0
        self._found: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, text: str) -> tuple[int, ...]:
        with self._lock:
            ids = self._found.get(text)
            if ids is not None:
                self._found.move_to_end(text)
                return ids
        ids = self._encode(text)
        if len(text) <= self._limit // 8:  # one huge document must not push out everything else
            with self._lock:
                if text not in self._found:
                    self._found[text] = ids
                    self._size += len(text) + 1
                while self._size > self._limit:
                    old, _ = self._found.popitem(last=False)
                    self._size -= len(old) + 1
        return ids

    def check(self) -> None:
        """Raise AssertionError where the counted size is not the real one, or over the bound."""
        with self._lock:
            assert self._size == sum(len(text) + 1 for text in self._found)
            assert self._size <= self._limit
