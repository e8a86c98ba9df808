"""Vectors in prompts: their identity in the tree, and where a step puts them.

The tree knows tokens only. A vector enters it as a negative number that stands for exactly these
float32 values, so that equal soft prompts share KV and different ones never do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ramify.backend.contract import TokenPrompt
from ramify.backend.radix.slots import IntArray
from ramify.errors import BackendError, CapabilityError, Where
from ramify.ir.vectors import Vectors

_KEPT = 1 << 16  # vectors whose number is remembered
FloatArray = NDArray[np.float32]


class VectorKeys:
    """A negative number for every vector, the same for equal ones. Any thread may ask.

    Numbers are never used again, so what has been forgotten is computed anew, not mistaken.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._kept = kept
        self._last = 0
        self._lock = Lock()

    def keyed(self, prompt: TokenPrompt) -> TokenPrompt:
        """The prompt with the numbers of its vectors in their places."""
        if not prompt.vectors:
            return prompt
        ids = list(prompt.ids)
        with self._lock:
            for span in prompt.vectors:
                ids[span.start : span.stop] = self.of(span.vectors)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return replace(prompt, ids=tuple(ids))

    def of(self, vectors: Vectors) -> list[int]:
        """The numbers of the vectors."""
        size = 4 * vectors.width
        data = memoryview(vectors.data)
        return [self._key(data[i * size : (i + 1) * size]) for i in range(vectors.count)]

    def _key(self, row: memoryview) -> int:
        digest = blake2b(row, digest_size=32).digest()
        found = self._known.get(digest)
        if found is None:
            self._last -= 1
            found = self._known[digest] = self._last
        else:
            self._known.move_to_end(digest)
        return found


def vectors_of(prompt: TokenPrompt) -> dict[int, FloatArray]:
    """The vectors of a keyed prompt by their numbers."""
    found: dict[int, FloatArray] = {}
    for span in prompt.vectors:
        found.update(zip(prompt.ids[span.start : span.stop], span.vectors.array(), strict=True))
    return found


@dataclass(slots=True)
class Inserted:
    """Vectors of a step: row `rows[i]` of it reads `values[i]` in place of a token."""

    rows: list[int] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)

    def add(self, tokens: IntArray, vectors: Mapping[int, FloatArray], offset: int) -> None:
        """What these tokens need, which are the rows from `offset`."""
        for at in np.flatnonzero(tokens < 0).tolist():
            self.rows.append(offset + at)
            self.values.append(vectors[int(tokens[at])])

    @property
    def arrays(self) -> tuple[IntArray, FloatArray] | None:
        """All rows [m] and values [m, width]; None where there are none."""
        return (np.array(self.rows), np.stack(self.values)) if self.rows else None


def check_vectors(prompt: TokenPrompt, width: int, digest: str, model: str, label: str) -> None:
    """Raise BackendError for vectors that do not fit the prompt or a model of this width (0: it
    takes none, CapabilityError), or that say that they were made for another one than `digest`."""
    before = 0
    for span in prompt.vectors:
        if not before <= span.start <= span.stop <= len(prompt.ids):
            raise BackendError(
                f"vectors at {span.start} to {span.stop} of a prompt of {len(prompt.ids)} tokens "
                "are outside of it, or over others.",
                where=Where(node=label),
            )
        before = span.stop
        if not width:
            raise CapabilityError(
                f"{model!r} takes no vectors: its layers look tokens up again.",
                hint="Use a model of another family.",
                where=Where(node=label),
            )
        if span.vectors.width != width:
            raise BackendError(
                f"the vectors are {span.vectors.width} wide, and {model!r} reads vectors of "
                f"{width}.",
                hint="Vectors belong to the model that they were made for.",
                where=Where(node=label),
            )
        if span.vectors.model not in ("", digest):
            raise BackendError(
                f"the vectors were made for model {span.vectors.model}, and {model!r} is {digest}.",
                hint="Only that model can read them: make them again for this one.",
                where=Where(node=label),
            )
