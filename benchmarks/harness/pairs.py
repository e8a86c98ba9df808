"""Which of two is faster, said with how sure one may be.

The two run in turns, A B, B A, A B, ...: a pair is one round, so that a slow minute hits both of a
pair, and going first favours nobody. Where a round ends and the next one begins, the same contender
runs twice in a row: its first run over its second is a ratio of equals, and shows what the machine
makes of no difference at all.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from benchmarks.harness.timing import Contender, Timing, interleave

SURE = 0.95


@dataclass(frozen=True, slots=True)
class Median:
    """A median, and between what the true one lies with a probability of SURE."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Median:
        """By order statistics, so that nothing is assumed of how the values are spread. Below six
        values the range is all of them, and less sure."""
        ranked = sorted(values)
        skipped = _skipped(len(ranked))
        return cls(statistics.median(ranked), ranked[skipped], ranked[-1 - skipped])

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two contenders that ran in turns: `theirs` first in the first round."""

    theirs: Timing
    ours: Timing

    @property
    def ratio(self) -> Median:
        """Their seconds over ours, by pairs: above 1 means that ours is faster."""
        pairs = zip(self.theirs.seconds, self.ours.seconds, strict=True)
        return Median.of([theirs / ours for theirs, ours in pairs])

    @property
    def equals(self) -> Median:
        """The same of neighbouring runs of one contender: what noise makes of a ratio of 1."""
        found = []
        for turn in range(len(self.ours.seconds) - 1):
            side = self.theirs if turn % 2 else self.ours  # who went last in this round
            found.append(side.seconds[turn] / side.seconds[turn + 1])
        return Median.of(found)


def in_pairs(theirs: Contender, ours: Contender, rounds: int, *, warmups: int = 1) -> Pairs:
    """Run both in turns, `rounds` times each (at least 2)."""
    timings = interleave([theirs, ours], rounds, warmups=warmups)
    return Pairs(timings[theirs.name], timings[ours.name])


def _skipped(count: int) -> int:
    """How many values at each end of `count` the range of SURE leaves out: the true median lies
    below the k-th smallest value, or above the k-th largest, each with the probability that a coin
    shows heads fewer than k times."""
    beyond, skipped = 0.0, -1
    while skipped < (count - 1) // 2:
        beyond += comb(count, skipped + 1) / 2**count
        if 2 * beyond > 1 - SURE:
            break
        skipped += 1
    return max(0, skipped)
