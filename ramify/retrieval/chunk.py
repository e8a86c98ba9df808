"""Chunkers: how a document is cut into the passages that an index finds."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ramify.retrieval.contract import RetrievalError, Span
from ramify.retrieval.sentences import sentence_spans

_WORD = re.compile(r"\S+")


class Chunker(Protocol):
    """Cuts text. Equal chunkers compare equal, so that an index knows its own again."""

    def chunk(self, text: str) -> list[Span]:
        """Where the chunks are, in order; none is empty, and no word is left out."""
        ...


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """Each document is one passage."""

    def chunk(self, text: str) -> list[Span]:
        return _fixed(text, 0, len(text), max(len(text), 1), 0)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Runs of `words` words, each beginning with the last `overlap` words of the one before."""

    words: int = 150
    overlap: int = 20

    def __post_init__(self) -> None:
        _check(self.words, self.overlap)

    def chunk(self, text: str) -> list[Span]:
        return _fixed(text, 0, len(text), self.words, self.overlap)


@dataclass(frozen=True, slots=True)
class Sentences:
    """Whole sentences up to `words` words; a longer sentence is cut into runs of `words` words.

    A chunk begins with the last sentences of the one before, as far as they fit in `overlap`
    words. The default keeps a chunk within the 256 tokens that MiniLM reads.
    """

    words: int = 150
    overlap: int = 20

    def __post_init__(self) -> None:
        _check(self.words, self.overlap)

    def chunk(self, text: str) -> list[Span]:
        pieces = [
            piece
            for start, stop in sentence_spans(text)
            for piece in _fixed(text, start, stop, self.words, 0)
        ]
        sizes = [len(piece.of(text).split()) for piece in pieces]
        chunks, first = [], 0
        while first < len(pieces):
            last, size = first + 1, sizes[first]
            while last < len(pieces) and size + sizes[last] <= self.words:
                size += sizes[last]
                last += 1
            chunks.append(Span(pieces[first].start, pieces[last - 1].stop))
            if last == len(pieces):
                break
            shared, back = 0, last
            # at least one sentence further than before, and room for one new sentence
            while (
                back - 1 > first
                and shared + sizes[back - 1] <= self.overlap
                and shared + sizes[back - 1] + sizes[last] <= self.words
            ):
                back -= 1
                shared += sizes[back]
            first = back
        return chunks


def _check(words: int, overlap: int) -> None:
    if not 0 <= overlap < words:
        raise RetrievalError(
            f"words={words}, overlap={overlap} cannot be.", hint="Use words > overlap >= 0."
        )


def _fixed(text: str, start: int, stop: int, words: int, overlap: int) -> list[Span]:
    found = [match.span() for match in _WORD.finditer(text, start, stop)]
    chunks = []
    for first in range(0, len(found), words - overlap):
        run = found[first : first + words]
        chunks.append(Span(run[0][0], run[-1][1]))
        if first + words >= len(found):
            break
    return chunks


_KINDS: dict[str, type[WholeDocument] | type[Fixed] | type[Sentences]] = {
    "document": WholeDocument,
    "fixed": Fixed,
    "sentences": Sentences,
}


def chunker_of(kind: str | Chunker) -> Chunker:
    """A chunker by name ("sentences", "fixed", "document") or as given."""
    if not isinstance(kind, str):
        return kind
    if kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise RetrievalError(f"unknown chunker {kind!r}.", hint=f"Known: {known}.")
    return _KINDS[kind]()


def to_json(chunker: Chunker) -> dict[str, Any]:
    """How a saved index writes down its chunker."""
    for kind, known in _KINDS.items():
        if isinstance(chunker, known):
            return {"kind": kind, **asdict(chunker)}
    raise RetrievalError(
        f"a chunker of type {type(chunker).__name__} cannot be saved.",
        hint=f"Saved are: {', '.join(_KINDS)}.",
    )


def from_json(row: dict[str, Any]) -> Chunker:
    """The chunker that `to_json` wrote down."""
    options = dict(row)
    return _KINDS[options.pop("kind")](**options)
