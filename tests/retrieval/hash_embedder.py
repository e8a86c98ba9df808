"""An embedder without a model: a bag of hashed words. Shared by tests of several rooms."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.terms import words


class HashEmbedder:
    """Equal words, equal vectors. Counts its calls; `gate`, where there is one, must be open."""

    name = "hash"

    def __init__(self, dim: int = 64, gate: threading.Event | None = None) -> None:
        self.dim = dim
        self.gate = gate
        self.calls: list[int] = []
        self._lock = threading.Lock()

    def embed(
        self, texts: Sequence[str], *, kind: Literal["query", "passage"]
    ) -> NDArray[np.float32]:
        with self._lock:
            self.calls.append(len(texts))
        assert self.gate is None or self.gate.wait(60)
        rows = np.full((len(texts), self.dim), 1e-3, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in words(text):
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                at = int.from_bytes(digest[:4], "little") % self.dim
                row[at] += 1.0 if digest[4] % 2 else -1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
