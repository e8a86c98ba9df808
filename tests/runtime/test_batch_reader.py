"""Rows are read beside the event loop: on one thread, as asked, and without holding anybody up."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.errors import RamifyError
from ramify.runtime.batch.reader import Reader


@rf.program
async def echo(s: rf.State, i: int) -> Any:
    return str(i)


def test_slow_rows_do_not_hold_up_the_rows_under_way() -> None:
    reading, worked = threading.Event(), threading.Event()

    async def work(i: int) -> int:
        await asyncio.to_thread(reading.wait)  # row 1 is being read
        worked.set()
        return i

    @rf.program
    def p(s: rf.State, i: int) -> Any:
        return rf.call(work, i)

    def rows() -> Iterator[dict[str, int]]:
        yield {"i": 0}
        reading.set()
        assert worked.wait(60)
        yield {"i": 1}

    results = p.run_batch(rows(), backend=rf.FakeBackend(), window=1)
    assert [r.value for r in results] == [0, 1]


def test_rows_are_read_on_one_thread() -> None:
    threads = set()

    def rows() -> Iterator[dict[str, int]]:
        database = sqlite3.connect(":memory:")  # refuses every other thread
        database.execute("create table t (i integer)")
        database.executemany("insert into t values (?)", [(i,) for i in range(20)])
        for (i,) in database.execute("select i from t order by i"):
            threads.add(threading.current_thread())
            yield {"i": i}
        database.close()

    results = echo.run_batch(rows(), backend=rf.FakeBackend(), window=3, concurrency=2)
    assert [r.text for r in results] == [str(i) for i in range(20)]
    assert len(threads) == 1 and threads.pop().name != "ramify-loop"


@pytest.mark.parametrize("optimize", [True, False])
def test_no_row_is_read_more_than_a_window_ahead(optimize: bool) -> None:
    read: list[int] = []
    ahead: list[int] = []

    async def work(i: int) -> int:
        ahead.append(len(read) - len(ahead))
        return i

    @rf.program
    def p(s: rf.State, i: int) -> Any:
        return rf.call(work, i)

    def rows() -> Iterator[dict[str, int]]:
        for i in range(40):
            read.append(i)
            yield {"i": i}

    policy = rf.Policy(optimize=optimize)
    p.run_batch(rows(), backend=rf.FakeBackend(), policy=policy, window=4, concurrency=1)
    assert len(ahead) == 40 and max(ahead) <= 4 + 1


def test_rows_that_raise_end_the_batch_and_finished_rows_are_kept(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"i": 0}
        yield {"i": 1}
        raise ValueError("no more")  # read when row 1 is let go: row 0 has ended

    out = tmp_path / "out.jsonl"
    with pytest.raises(ValueError, match="no more"):
        echo.run_batch(rows(), backend=rf.FakeBackend(), window=1, concurrency=1, out=out)
    assert '"text": "0"' in out.read_text()


@pytest.mark.parametrize("error", [SystemExit("enough"), asyncio.CancelledError("enough")])
def test_rows_that_would_end_the_loop_end_their_batch_only(error: BaseException) -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"i": 0}
        raise error

    with pytest.raises(RamifyError, match=f"the rows raised {type(error).__name__}: enough"):
        echo.run_batch(rows(), backend=rf.FakeBackend())
    assert echo.run(1, backend=rf.FakeBackend()).text == "1"


def test_a_batch_ends_while_its_rows_are_waited_for() -> None:
    blocked, free = threading.Event(), threading.Event()

    def rows() -> Iterator[dict[str, int]]:
        blocked.set()
        free.wait()
        yield {"i": 0}

    async def main() -> None:
        work = asyncio.create_task(echo.arun_batch(rows(), backend=rf.FakeBackend()))
        await asyncio.to_thread(blocked.wait)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        # the background loop is free
        assert (await echo.arun(1, backend=rf.FakeBackend())).text == "1"

    try:
        asyncio.run(main())
    finally:
        free.set()


def test_nothing_is_read_after_the_end() -> None:
    blocked, free, ended = threading.Event(), threading.Event(), threading.Event()
    read: list[int] = []

    def items() -> Iterator[int]:
        try:
            for i in range(3):
                read.append(i)
                blocked.set()
                free.wait()
                yield i
        finally:
            ended.set()

    async def main() -> None:
        with Reader(items()) as reader:
            asked = asyncio.ensure_future(reader.take(3))
            await asyncio.to_thread(blocked.wait)
            asked.cancel()
        free.set()

    asyncio.run(main())
    ended.wait()
    assert read == [0]
