import gc
import time
import weakref
from typing import Any

import pytest

import ramify as rf
from ramify.runtime.collector import fewer_collections
from ramify.runtime.run import Run


def test_the_pace_comes_back_when_the_last_user_leaves() -> None:
    before = gc.get_threshold()
    with fewer_collections():
        slow = gc.get_threshold()
        assert slow[0] > before[0]
        with fewer_collections():
            assert gc.get_threshold() == slow
        assert gc.get_threshold() == slow
    assert gc.get_threshold() == before


def test_a_slower_pace_is_left_alone() -> None:
    before = gc.get_threshold()
    try:
        for own in ((0, 10, 10), (1_000_000, 5, 5)):
            gc.set_threshold(*own)
            with fewer_collections():
                assert gc.get_threshold() == own
            assert gc.get_threshold() == own
    finally:
        gc.set_threshold(*before)


def test_runs_are_freed_without_a_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    @rf.program
    def one(s: rf.State, word: str) -> Any:
        s += rf.user(word)
        s += rf.assistant(rf.gen("a", max_tokens=4))
        return s["a"]

    made: list[weakref.ref[Run]] = []
    begin = Run.__init__

    def noted(self: Run, *args: Any, **options: Any) -> None:
        made.append(weakref.ref(self))
        begin(self, *args, **options)

    monkeypatch.setattr(Run, "__init__", noted)
    gc.collect()
    gc.disable()
    try:
        rows = [{"word": f"word {i}"} for i in range(5)]
        assert not one.run_batch(rows, backend=rf.FakeBackend()).failed
        assert len(made) == 5
        ended = time.monotonic() + 60  # threads that are just done may still hold their last one
        while any(run() for run in made) and time.monotonic() < ended:
            time.sleep(0.01)
        assert not [run for run in made if run()]
    finally:
        gc.enable()
