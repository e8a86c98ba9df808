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
_default: BackendLike = None


def set_default_backend(backend: BackendLike) -> None:
    """Use this backend, or these named backends, where a run names none; None: none again.

    It is opened at once, so that what cannot be opened is known here.
    """
    global _default
    if backend is not None:
        backends_of(backend)
    _default = backend


def backends_of(backend: BackendLike) -> dict[str, Backend]:
    """The backends of a run by name; "" is the default one (the first of a mapping).

    Raises ProgramError where there is none, BackendError where one cannot be opened.
    """
    if backend is None:
        backend = _default or os.environ.get("RAMIFY_BACKEND")
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
    chosen = _default if backend is None else backend
    items = list(chosen.values()) if isinstance(chosen, Mapping) else [chosen]
    if any(item is None or (isinstance(item, str) and item not in _opened) for item in items):
        return await asyncio.to_thread(backends_of, backend)
    return backends_of(backend)


def _begin_anew() -> None:
    """In a forked process: engines compute on threads, which are not there."""
    global _lock
    _lock = threading.Lock()
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _one(backend: str | Backend) -> Backend:
    if not isinstance(backend, str):
        known = hasattr(backend, "renderer") and not isinstance(backend, type)
        return backend if known else open_backend(backend)  # which says what it is not
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
