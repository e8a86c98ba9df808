"""Compressors by name. A plug-in is a class with the contract's fields and one line:

register("mine", MyCompressor)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from difflib import get_close_matches

from ramify.compressors.contract import CompressionError, Compressor
from ramify.compressors.extractive import Extractive
from ramify.compressors.gist import Gist
from ramify.compressors.words import Words

_FACTORIES: dict[str, Callable[[], Compressor]] = {
    "extractive": Extractive,
    "gist": Gist,
    "words": Words,
}
_MADE: dict[str, Compressor] = {}
_LOCK = threading.Lock()


def register(name: str, factory: Callable[[], Compressor]) -> None:
    """Make `method=name` mean the compressor that `factory()` gives; it is called once, when the
    name is first used. Raises CompressionError where the name is taken.
    """
    with _LOCK:
        if name in _FACTORIES:
            raise CompressionError(f"a compressor named {name!r} is there already.")
        _FACTORIES[name] = factory


def unregister(name: str) -> None:
    """Forget a name. Raises CompressionError where it is not known."""
    with _LOCK:
        if _FACTORIES.pop(name, None) is None:
            raise CompressionError(f"no compressor is named {name!r}.")
        _MADE.pop(name, None)


def get_compressor(method: str | Compressor) -> Compressor:
    """The compressor of a name, the same object every time, or an object as given.

    Raises CompressionError for an unknown name and for an object that is not a compressor.
    """
    if not isinstance(method, str):
        if isinstance(method, type) or not isinstance(method, Compressor):
            raise CompressionError(
                f"{method!r} is not a compressor.",
                hint="It needs name, query_aware, deterministic and `async compress(...)`.",
            )
        return method
    with _LOCK:
        if method not in _FACTORIES:
            near = get_close_matches(method, _FACTORIES, 1)
            known = ", ".join(sorted(_FACTORIES))
            hint = f"Did you mean {near[0]!r}? Known: {known}." if near else f"Known: {known}."
            raise CompressionError(f"unknown compression method {method!r}.", hint=hint)
        if method not in _MADE:
            _MADE[method] = _FACTORIES[method]()
        return _MADE[method]
