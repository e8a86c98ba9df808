"""A memory of compressions by content, so that the same request gives the same object at once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

from ramify.compressors.contract import Compressed, Count, Rate
from ramify.retrieval.contract import Passages

_SIZE = 512  # compressions


def key_of(
    source: str | Passages,
    question: str | None,
    rate: Rate | None,
    tokens: int | None,
    count: Count,
) -> Hashable:
    """Equal for equal requests. Numbers, ids and offsets of passages are part of the result, so
    they are part of the key; the content itself enters by its SHA-256.
    """
    digest = hashlib.sha256()
    if isinstance(source, str):
        digest.update(source.encode("utf-8", "surrogatepass"))
        return ("text", digest.digest(), question, rate, tokens, count)
    for passage in source:
        digest.update(passage.text.encode("utf-8", "surrogatepass") + b"\0")
    shape = tuple(
        (p.number, p.id, p.title, p.source, p.spans, p.score, repr(p.meta)) for p in source
    )
    return ("passages", digest.digest(), shape, question, rate, tokens, count)


class Memo:
    """The compressions used last. Safe for threads."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, Compressed] = OrderedDict()

    def get(self, key: Hashable) -> Compressed | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, made: Compressed) -> None:
        with self._lock:
            self._held[key] = made
            while len(self._held) > self._size:
                self._held.popitem(last=False)

    def __len__(self) -> int:
        return len(self._held)
