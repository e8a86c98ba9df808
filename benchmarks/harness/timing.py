"""Timing side by side: A B C, then again, so that a slow minute hits all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


def nothing() -> None:
    """What most contenders need before and after a run."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time: `run()` is timed; `prepare()` before and `finish()` after it are not."""

    name: str
    run: Callable[[], Any]
    prepare: Callable[[], None] = nothing
    finish: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of every timed run, in order, and what the last run returned."""

    seconds: tuple[float, ...]
    result: Any = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Largest over smallest: near 1 on a quiet machine."""
        return max(self.seconds) / min(self.seconds)


def once(contender: Contender) -> tuple[float, Any]:
    """One run: seconds and result. Garbage of earlier runs is collected before the clock starts."""
    contender.prepare()
    gc.collect()
    started = time.perf_counter()
    result = contender.run()
    took = time.perf_counter() - started
    contender.finish()
    return took, result


def interleave(
    contenders: Sequence[Contender], repeats: int, *, warmups: int = 1
) -> dict[str, Timing]:
    """Time every contender `repeats` times in turns; who goes first moves on each round."""
    for contender in contenders:
        for _ in range(warmups):
            once(contender)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    results: dict[str, Any] = {}
    for turn in range(repeats):
        first = turn % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            took, results[contender.name] = once(contender)
            seconds[contender.name].append(took)
    return {name: Timing(tuple(found), results[name]) for name, found in seconds.items()}
