"""Pieces of a prompt that are neither text nor the language's own."""

from __future__ import annotations

from typing import Any

from ramify.dsl.trace import Trace
from ramify.errors import ProgramError
from ramify.ir import Ref, Segment, Text, Vectors
from ramify.runtime.outcome import text_of


def plain_segment(trace: Trace, piece: Any) -> Segment:
    """Numbers, passages, models of data ...: what they read like; raises for what has no text."""
    if isinstance(piece, Vectors):
        return piece
    if piece is None or callable(piece) or not _has_text(piece):
        raise ProgramError(
            f"{type(piece).__name__} {piece!r} cannot become part of a prompt.",
            hint="Append text, values, operations or messages.",
            where=trace.where(),
        )
    lowered = trace.lower(piece)
    return lowered if isinstance(lowered, Ref) else Text((text_of(piece),))


def vectors(array: Any) -> Vectors:
    """A piece of a prompt that is vectors in place of tokens: a soft prompt.

    `array` is [n, width]: a numpy array, a torch tensor or rows of numbers, as wide as the model's
    hidden state. Only backends with `embeddings_in` read it (the embedded engine does). Raises
    ProgramError for another shape or for what is not a finite number.
    """
    return Vectors.of(array)


def _has_text(piece: Any) -> bool:
    """Whether a type says what its objects read like."""
    kinds = type(piece).__mro__[:-1]
    return any("__str__" in kind.__dict__ or "__repr__" in kind.__dict__ for kind in kinds)
