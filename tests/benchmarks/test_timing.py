"""Timing in turns."""

from __future__ import annotations

from benchmarks.harness import Contender, Timing, interleave


def test_contenders_take_turns_and_who_is_first_moves_on() -> None:
    log: list[str] = []
    contenders = [
        Contender(
            name,
            lambda name=name: log.append(name) or name,
            lambda name=name: log.append(f"before {name}"),
            lambda name=name: log.append(f"after {name}"),
        )
        for name in ("a", "b")
    ]
    found = interleave(contenders, 2, warmups=1)
    ran = [entry for entry in log if len(entry) == 1]
    assert ran == ["a", "b", "a", "b", "b", "a"]
    assert log[:3] == ["before a", "a", "after a"]
    assert {name: (len(t.seconds), t.result) for name, t in found.items()} == {
        "a": (2, "a"),
        "b": (2, "b"),
    }


def test_preparation_is_not_timed() -> None:
    clock: list[int] = []
    contender = Contender("a", lambda: len(clock), lambda: clock.extend(range(100_000)))
    timing = interleave([contender], 3, warmups=0)["a"]
    assert timing.result == 300_000


def test_timing_gives_median_best_and_spread() -> None:
    timing = Timing((2.0, 1.0, 4.0))
    assert (timing.median, timing.best, timing.spread) == (2.0, 1.0, 4.0)
