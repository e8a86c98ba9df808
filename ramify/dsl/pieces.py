"""Pieces of a prompt that are neither text nor the language's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ramify.dsl.trace import Trace
from ramify.errors import ProgramError
from ramify.ir import Ref, Segment, Text, Vectors
from ramify.runtime.outcome import text_of

if TYPE_CHECKING:
    from ramify.dsl.state import State


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


@dataclass(frozen=True, slots=True)
class Blocks:
    """A piece of a prompt: items as parallel blocks. See `blocks`."""

    items: Any
    write: Callable[[Any], Any]
    repair: int

    def append_to(self, state: State) -> None:
        """One branch per item, joined."""

        def block(branch: State, item: Any) -> None:
            branch += self.write(item)

        state.join(state.each(self.items, block), "kv", repair=self.repair)


def blocks(
    items: Any, *, write: Callable[[Any], Any] = lambda item: [item, "\n"], repair: int = 0
) -> Blocks:
    """A piece of a prompt that is one parallel block per item: passages that do not see each other.

    `items` is a list, or a value that will be one (`rf.retrieve(...)`); `write(item)` is what a
    block says, by default the item and a line break. A backend with parallel blocks computes each
    block once behind what stands before it, and reads it again in any order and combination with
    others; so what a block says should not depend on its place (a number by rank does). Others
    read plain text. `repair` as in `s.join`.
    """
    return Blocks(items, write, repair)


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
