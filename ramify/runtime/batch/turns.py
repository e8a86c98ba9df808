"""Which of the rows under way goes first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

# Seconds of priority between a row and the next one: more than the work that waits within a row.
_STEP_S = 1000.0


@dataclass(slots=True)
class Turns:
    """Rows by when they were opened.

    A row that has begun goes before one that has not, and of those the one that was opened first:
    what it computed is still in the cache, and leaves it sooner. Within a row the critical path
    decides. First calls are all equal, so that they keep the order in which rows were opened.

    Where memory is not tight, the critical path alone decides: rows then go on side by side, and
    the last one is not left alone at the end with steps that only its own calls fill.
    """

    limit: int  # rows open at once
    tight: Callable[[], bool] = lambda: True  # whether caches may lose what rows have begun
    _open: list[int] = field(default_factory=list)  # ascending

    def open(self, number: int) -> None:
        """A row goes. Numbers ascend."""
        self._open.append(number)

    def close(self, number: int) -> None:
        """A row has ended."""
        del self._open[bisect_left(self._open, number)]

    def priority(self, number: int, path_s: float, *, begun: bool) -> float:
        """The priority of a call behind which `path_s` seconds of its row wait."""
        if not self.tight():
            return path_s
        if not begun:
            return 0.0
        older = min(bisect_left(self._open, number), self.limit)
        return (self.limit - older) * _STEP_S + min(path_s, _STEP_S)

    def check(self) -> None:
        """Raise AssertionError where rows are open twice or out of order."""
        assert self._open == sorted(set(self._open))
