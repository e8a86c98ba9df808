"""How many vectors a segment gets, and which segments are read together."""

from __future__ import annotations

from collections.abc import Sequence


def share(size: int, ratio: float, slots: int) -> int:
    """How many vectors a segment of `size` tokens gets: `size / ratio` rounded, 1 to `slots`."""
    return max(1, min(slots, int(size / ratio + 0.5)))


def windows(sizes: Sequence[int], room: int) -> list[range]:
    """Which segments are read together: as many as fit into `room` tokens, at least one."""
    found: list[range] = []
    start = used = 0
    for at, size in enumerate(sizes):
        if at > start and used + size > room:
            found.append(range(start, at))
            start, used = at, 0
        used += size
    return [*found, range(start, len(sizes))] if sizes else []
