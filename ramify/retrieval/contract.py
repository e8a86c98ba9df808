"""What retrieval promises: passages with numbers and offsets, and who finds and orders them.

Imports nothing heavy, so that the language and the runtime can name these types at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, overload, runtime_checkable

from ramify.errors import RamifyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RetrievalError(RamifyError, ValueError):
    """An index, a query or a filter was asked for something that cannot be done."""


class IndexFileError(RetrievalError):
    """A saved index cannot be read: another format version, or a broken or missing file."""


class Span(NamedTuple):
    """Characters `start` to `stop` (not included) of a text."""

    start: int
    stop: int

    def of(self, text: str) -> str:
        return text[self.start : self.stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document. `str(passage)` is its line in a prompt: `[number] text`.

    `spans` are the character ranges of the source document that `text` is made of, joined by one
    space each: one range for a passage as found, several after compression. An empty `spans`
    means that nothing is known about the source.
    """

    id: str  # unique in its index
    text: str
    number: int = 0  # what the prompt and its citations call it; 0: not numbered
    title: str = ""
    source: str = ""  # id of the document
    spans: tuple[Span, ...] = ()
    score: float = 0.0  # of the search or reranking that found it: larger is better
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def start(self) -> int:
        """Offset of the first character in the source document (-1: not known)."""
        return self.spans[0].start if self.spans else -1

    @property
    def stop(self) -> int:
        """Offset after the last character in the source document (-1: not known)."""
        return self.spans[-1].stop if self.spans else -1

    def locate(self, start: int, stop: int) -> tuple[Span, ...]:
        """The ranges of the source document that `text[start:stop]` was taken from."""
        found, at = [], 0
        for span in self.spans:
            length = span.stop - span.start
            low, high = max(start - at, 0), min(stop - at, length)
            if low < high:
                found.append(Span(span.start + low, span.start + high))
            at += length + 1
        return tuple(found)

    def kept(self, pieces: Sequence[Span]) -> Passage:
        """This passage cut down to pieces of its text (in order, not overlapping), each without
        the white space around it.
        """
        texts: list[str] = []
        spans: list[Span] = []
        for piece in pieces:
            text = piece.of(self.text).strip()
            if text:
                start = self.text.index(text, piece.start)
                spans += self.locate(start, start + len(text))
                texts.append(text)
        return replace(self, text=" ".join(texts), spans=tuple(spans))

    def check(self) -> None:
        """Raise RetrievalError where text and spans do not fit together."""
        if not self.spans:
            return
        length = sum(span.stop - span.start for span in self.spans) + len(self.spans) - 1
        if length != len(self.text):
            have = len(self.text)
            raise RetrievalError(f"passage {self.id!r}: {have} characters, its spans {length}.")
        if any(a.stop > b.start for a, b in pairwise(self.spans)):
            raise RetrievalError(f"passage {self.id!r}: spans overlap or are out of order.")

    def __str__(self) -> str:
        # one line each: a line break inside a text must not look like the next passage
        line = " ".join(self.text.split())
        return f"[{self.number}] {line}" if self.number else line


class Passages(Sequence[Passage]):
    """Numbered passages, immutable. `str(passages)` is the block of lines that a prompt shows.

    Numbers stay with their passages: a slice, a filter or a compression keeps them, so that `[2]`
    in an answer means the same passage everywhere.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Passage] = ()) -> None:
        """Keep passages with the numbers that they have; RetrievalError where two are equal."""
        self._items = tuple(items)
        numbers = [item.number for item in self._items]
        if len(set(numbers)) != len(numbers) or any(number < 1 for number in numbers):
            raise RetrievalError(
                f"passages need different numbers from 1 up, got {numbers}.",
                hint="Passages.of(...) numbers them by position.",
            )

    @classmethod
    def of(cls, items: Iterable[Passage | str]) -> Passages:
        """Number passages, or plain texts, by position: 1, 2, ..."""
        made = []
        for number, item in enumerate(items, 1):
            if isinstance(item, str):
                spans = (Span(0, len(item)),)
                item = Passage(id=str(number), text=item, source=str(number), spans=spans)
            made.append(replace(item, number=number))
        return cls(made)

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(item.number for item in self._items)

    def numbered(self, number: int) -> Passage | None:
        """The passage that is called `[number]`, or None."""
        return next((item for item in self._items if item.number == number), None)

    def check(self) -> None:
        """Raise RetrievalError where a passage breaks an invariant."""
        for item in self._items:
            item.check()

    @overload
    def __getitem__(self, at: int) -> Passage: ...
    @overload
    def __getitem__(self, at: slice) -> Passages: ...
    def __getitem__(self, at: int | slice) -> Passage | Passages:
        return Passages(self._items[at]) if isinstance(at, slice) else self._items[at]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Passage]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passages) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __str__(self) -> str:
        return "\n".join(map(str, self._items))

    def __repr__(self) -> str:
        return f"Passages({len(self._items)}: {', '.join(item.id for item in self._items)})"


class Retriever(Protocol):
    """Finds passages. `ramify.retrieval.Index` is one; anything with this method may be used."""

    async def search(self, query: str, k: int = 5, **options: Any) -> Passages:
        """The `k` best passages, best first, numbered from 1. Fewer where there are fewer.

        Many searches may be awaited at once. Raises RetrievalError for k < 1, an empty query or
        an unknown option.
        """
        ...


@runtime_checkable
class Reranker(Protocol):
    """Orders passages anew."""

    name: str

    async def rank(self, passages: Passages, query: str, k: int | None = None) -> Passages:
        """The best `k` (None: all) by relevance to the query, best first, numbered anew from 1."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their similarity."""

    name: str  # stored with an index; vectors of different names are never compared
    dim: int

    def embed(
        self, texts: Sequence[str], *, kind: Literal["query", "passage"]
    ) -> NDArray[np.float32]:
        """Rows of length one, float32 [len(texts), dim]. May be called from several threads."""
        ...
