"""The soak, for a moment."""

from __future__ import annotations

from benchmarks.soak import Soak


def test_a_moment_of_everything_loses_no_slot() -> None:
    soak = Soak(3)
    for _ in range(150):
        soak.step()
    soak.scheduler.check()
    done = soak.done
    assert min(done["forks"], done["cancels"]) > 500 and done["finished"] > 20
    assert soak.scheduler.preempted > 0
    assert soak.end() == 0
