"""Which backends a run uses: by name, opened once, shared by all runs of the process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Mapping

from ramify.backend import Backend, open_backend
from ramify.errors import ProgramError
from ramify.runtime.loop import run_sync

BackendLike = str | Backend | Mapping[str, str | Backend] | None

_lock = threading.Lock()
_opened: dict[str, Backend] = {}
_default: dict[str, Backend] | None = None


def set_default_backend(backend: BackendLike) -> None:
    """Use this backend, or these named backends, where a run names none."""
    global _default
    _default = None if backend is None else backends_of(backend)


def backends_of(backend: BackendLike) -> dict[str, Backend]:
    """The backends of a run by name; "" is the default one (the first of a mapping).

    Raises ProgramError where there is none, BackendError where one cannot be opened.
    """
    if backend is None:
        if _default is not None:
            return _default
        backend = os.environ.get("RAMIFY_BACKEND")
        if not backend:
            raise ProgramError(
                "no backend was named.",
                hint='Pass backend="radix:PATH", "demo" or "fake:", '
                "call rf.set_default_backend(...), or set RAMIFY_BACKEND.",
            )
    if isinstance(backend, Mapping):
        if not backend:
            raise ProgramError("the mapping of backends is empty.", hint="Name at least one.")
        found = {name: _one(item) for name, item in backend.items()}
        return {"": next(iter(found.values())), **found}
    return {"": _one(backend)}


async def opened(backend: BackendLike) -> dict[str, Backend]:
    """`backends_of`, without blocking the loop while a model is loaded."""
    if isinstance(backend, (str, Mapping)) or (backend is None and _default is None):
        return await asyncio.to_thread(backends_of, backend)
    return backends_of(backend)


def _one(backend: str | Backend) -> Backend:
    if not isinstance(backend, str):
        return backend
    with _lock:
        if backend not in _opened:
            if not _opened:
                atexit.register(close_backends)
            _opened[backend] = open_backend(backend)
        return _opened[backend]


def close_backends() -> None:
    """Close every backend that was opened by its name; the next run opens it again."""
    with _lock:
        backends = list(_opened.values())
        _opened.clear()
    for backend in backends:
        run_sync(backend.close())
