"""How busy backends are with requests of this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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


class Load:
    """What a run knows of how busy its backends are. It holds no run: a run that its own parts
    hold would wait for the collector."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self.beside = 0  # rows of a batch that run at the same time; the batch fills it
        self._backends = backends

    def __call__(self, model: str) -> int:
        """Sequences that a model's backend is busy with, or will be at once, beside this run's."""
        backend = self._backends.get(model)
        return max(self.beside, under_way(backend)) if backend is not None else 0
