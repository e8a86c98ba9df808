"""Vectors in a prompt, in the place of tokens: soft prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ramify.errors import ProgramError


@dataclass(frozen=True, slots=True)
class Vectors:
    """`count` vectors of the model's hidden `width`; each stands in the place of one token.

    What they are is what a model takes as `inputs_embeds`. Two are equal where their numbers are:
    `digest` is a 256-bit hash of these.
    """

    count: int
    width: int
    digest: bytes = field(repr=False)
    data: bytes = field(repr=False, compare=False)  # float32, little endian, row after row

    @classmethod
    def of(cls, array: Any) -> Vectors:
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
        return cls(count, width, digest, data)

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
