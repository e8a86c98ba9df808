"""How busy backends are with requests of this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from ramify.backend.contract import Backend

_under_way: WeakKeyDictionary[Backend, Counter[str]] = WeakKeyDictionary()


@contextmanager
def counted(backend: Backend) -> Iterator[None]:
    """Count one generation while it is under way. All runs live on one loop: no lock."""
    count = _under_way.setdefault(backend, Counter())
    count["generate"] += 1
    try:
        yield
    finally:
        count["generate"] -= 1


def under_way(backend: Backend) -> int:
    """Generations that this process has under way on a backend, of all its runs."""
    found = _under_way.get(backend)
    return found["generate"] if found is not None else 0
