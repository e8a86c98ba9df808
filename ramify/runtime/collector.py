"""Fewer garbage collections while a batch builds its graphs.

A window of traced rows is a few hundred thousand objects that all stay alive, so the collector's
default pace (a young collection per 700 new objects, full ones as the heap grows) walks them again
and again to free nothing: close to half of the time of tracing and planning.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PACE = (50_000, 50, 100)

_lock = threading.Lock()
_users = 0
_before = (0, 0, 0)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Slow the collector down; the pace of before comes back when the last user leaves.

    A collector that was turned off, or paced slower still, is left as it is.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = gc.get_threshold()
            if 0 < _before[0] < _PACE[0]:
                gc.set_threshold(*_PACE)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                gc.set_threshold(*_before)
