"""A source taken apart into pieces with offsets, and put together again from some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ramify.compressors.contract import Compressed, Kept
from ramify.retrieval.contract import Passages, Span


class Piece(NamedTuple):
    """`text` is characters `start` to `stop` of part `part` of the source: of its passage at that
    position, or of the text itself (part 0). `title` is the passage's, `place` counts the pieces
    of a part from 0.
    """

    part: int
    start: int
    stop: int
    text: str
    title: str
    place: int


def take_apart(source: str | Passages, cut: Callable[[str], Sequence[Span]]) -> list[Piece]:
    """The pieces of a source, in order, cut out of each of its parts."""
    return [
        Piece(part, start, stop, text[start:stop], title, place)
        for part, (text, title) in enumerate(_parts(source))
        for place, (start, stop) in enumerate(cut(text))
    ]


def _parts(source: str | Passages) -> Iterator[tuple[str, str]]:
    if isinstance(source, str):
        yield source, ""
    else:
        yield from ((passage.text, passage.title) for passage in source)


def put_together(
    source: str | Passages, pieces: Iterable[Piece]
) -> tuple[str | Passages, tuple[Kept, ...]]:
    """The source made of these pieces only, in their original order, and what was kept.

    Pieces that touch in the original, or have nothing but white space between them, become one,
    with the white space that they had.
    """
    runs: dict[int, list[Span]] = {}
    for piece in sorted(pieces):
        spans = runs.setdefault(piece.part, [])
        text = source if isinstance(source, str) else source[piece.part].text
        if spans and not text[spans[-1].stop : piece.start].strip():
            spans[-1] = Span(spans[-1].start, piece.stop)
        else:
            spans.append(Span(piece.start, piece.stop))
    if isinstance(source, str):
        spans = runs.get(0, [])
        return _join(source, spans), tuple(Kept(*span) for span in spans)
    kept = [Kept(*span, source[part].number) for part, spans in runs.items() for span in spans]
    return Passages(source[part].kept(spans) for part, spans in runs.items()), tuple(kept)


def whole(source: str | Passages, before: int, target: int, method: str) -> Compressed:
    """A source that needs no compression, or has nothing to give up, untouched."""
    if isinstance(source, str):
        kept = [Kept(0, len(source))] if source else []
    else:
        kept = [Kept(0, len(passage.text), passage.number) for passage in source]
    return Compressed(
        value=source,
        kept=tuple(kept),
        tokens_before=before,
        tokens_after=before,
        target=target,
        method=method,
        note="" if before <= target else "there is nothing to shorten",
    )


def _join(text: str, spans: Sequence[Span]) -> str:
    """Pieces of a text with the strongest break that stood between them: a blank line, a line
    break or a space.
    """
    parts: list[str] = []
    for at, span in enumerate(spans):
        if at:
            gap = text[spans[at - 1].stop : span.start]
            blank = any(not line.strip() for line in gap.split("\n")[1:-1])
            parts.append("\n\n" if blank else "\n" if "\n" in gap else " ")
        parts.append(span.of(text))
    return "".join(parts)
