"""Pieces of a prompt that are neither text nor the language's own."""

from __future__ import annotations

from typing import Any

from ramify.dsl.trace import Trace
from ramify.errors import ProgramError
from ramify.ir import Ref, Segment, Text
from ramify.runtime.outcome import text_of


def plain_segment(trace: Trace, piece: Any) -> Segment:
    """Numbers, passages, models of data ...: what they read like; raises for what has no text."""
    if piece is None or callable(piece) or not _has_text(piece):
        raise ProgramError(
            f"{type(piece).__name__} {piece!r} cannot become part of a prompt.",
            hint="Append text, values, operations or messages.",
            where=trace.where(),
        )
    lowered = trace.lower(piece)
    return lowered if isinstance(lowered, Ref) else Text((text_of(piece),))


def _has_text(piece: Any) -> bool:
    """Whether a type says what its objects read like."""
    kinds = type(piece).__mro__[:-1]
    return any("__str__" in kind.__dict__ or "__repr__" in kind.__dict__ for kind in kinds)
