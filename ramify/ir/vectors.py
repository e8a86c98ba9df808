"""Vectors in a prompt, in the place of tokens: soft prompts, alone or between texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ramify.errors import ProgramError


@dataclass(frozen=True, slots=True)
class Vectors:
    """`count` vectors of the model's hidden `width`; each stands in the place of one token.

    What they are is what a model takes as `inputs_embeds`. Two are equal where their numbers are:
    `digest` is a 256-bit hash of these. `model` names the one model that can read them, by the
    digest of its folder; empty where nobody says.
    """

    count: int
    width: int
    digest: bytes = field(repr=False)
    data: bytes = field(repr=False, compare=False)  # float32, little endian, row after row
    model: str = field(default="", repr=False, compare=False)

    @classmethod
    def of(cls, array: Any, *, model: str = "") -> Vectors:
        """From a numpy array, a torch tensor (any device, any float type) or rows of numbers.

        `array` is [n, width]. Raises ProgramError for another shape, none at all, or what is not a
        finite number in float32.
        """
        if isinstance(array, Vectors):
            return array
        import numpy as np

        if hasattr(array, "detach"):
            array = array.detach().cpu().float().numpy()
        try:
            with np.errstate(over="ignore"):
                rows = np.asarray(array).astype("<f4")
        except (TypeError, ValueError) as error:
            raise ProgramError(f"these are no vectors: {error}.") from error
        if rows.ndim != 2 or 0 in rows.shape:
            raise ProgramError(
                f"vectors of shape {list(rows.shape)} cannot stand in a prompt.",
                hint="Give an array of shape [n, width], a row in the place of each token.",
            )
        if not np.isfinite(rows).all():
            raise ProgramError("vectors hold what is not a finite number (NaN or infinity).")
        data = rows.tobytes()
        count, width = rows.shape
        digest = blake2b(data, digest_size=32, salt=width.to_bytes(16, "little")).digest()
        return cls(count, width, digest, data, model)

    def array(self) -> Any:
        """The numbers as a numpy array [count, width] of float32, read-only."""
        import numpy as np

        return np.frombuffer(self.data, "<f4").reshape(self.count, self.width)

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        return f"[{self.count} vectors]"

    def __format__(self, spec: str) -> str:
        raise ProgramError(
            "vectors have no text, so they cannot stand in an f-string.",
            hint="Append them as a piece of their own: s += [text, vectors, text].",
        )


@dataclass(frozen=True, slots=True)
class Mixed:
    """Texts and vectors in turn: a value that stands in a prompt as both.

    An object whose `mixed` property is one is read as that wherever it is a piece of a prompt.
    """

    parts: tuple[str | Vectors, ...]

    @classmethod
    def joined(cls, items: Iterable[Mixed], between: str) -> Mixed:
        """Several one after the other, with a text between them."""
        parts: list[str | Vectors] = []
        for at, item in enumerate(items):
            parts += [between] * (at > 0)
            parts += item.parts
        return cls(tuple(parts))

    @property
    def mixed(self) -> Mixed:
        return self

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    def __format__(self, spec: str) -> str:
        raise ProgramError(
            "this is partly vectors, so it cannot stand in an f-string.",
            hint="Append it as a piece of its own: s += [text, value, text].",
        )


def piece_of(value: Any) -> Vectors | Mixed | None:
    """What a model reads of a value that is not simply its text; None where it is."""
    if isinstance(value, Vectors | Mixed):
        return value
    found = getattr(value, "mixed", None)
    return found if isinstance(found, Mixed) else None
