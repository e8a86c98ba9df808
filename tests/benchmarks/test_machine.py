"""The description of the machine, and the watch for other work."""

from __future__ import annotations

import platform
import socket

import psutil
import pytest

from benchmarks.harness.machine import Watch, cores, describe, peak_memory, threads, version


def test_description_has_versions_and_no_place() -> None:
    found = describe()
    assert found["python"] == platform.python_version()
    assert found["cores"] >= 1
    assert socket.gethostname() not in str(found)
    assert version("no-such-package-here") == ""


def test_watch_counts_only_the_work_of_others() -> None:
    with Watch() as watch:
        sum(range(200_000))
    assert watch.others >= 0
    watch.others = 0.05
    assert watch.found() == {"cores_used_by_others": 0.05}
    watch.others = 0.8
    assert "0.8 cores" in watch.found()["warning"]


def test_peak_memory_is_no_less_than_what_there_is_now() -> None:
    assert peak_memory() >= psutil.Process().memory_info().rss * 0.9


@pytest.mark.parametrize(("text", "found"), [("3", 3), ("", None), (" ", None), (None, None)])
def test_threads_are_those_of_the_environment_or_one_a_core(
    text: str | None, found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if text is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads() == (found or cores())
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="'many' is not a number of threads"):
        threads()
