"""Batches: order, sharing, bounded concurrency, files, failing rows, interrupts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError
from ramify.runtime.result import Result


@rf.program
def label(s: rf.State, text: str, hint: str = "") -> Any:
    s += rf.system("Classify the text.")
    s += rf.user(text)
    s += rf.assistant(rf.gen("label", choices=["good", "bad"]))
    return s["label"]


def test_results_are_in_the_order_of_the_rows_and_equal_single_runs() -> None:
    rows = [{"text": f"text {i % 17}"} for i in range(150)]
    backend = rf.FakeBackend()
    results = label.run_batch(rows, backend=backend, concurrency=7, window=20)
    assert len(results) == 150 and not results.failed
    for row, result in zip(rows, results, strict=True):
        assert result.text == label.run(**row, backend=rf.FakeBackend()).text


def test_equal_work_of_rows_is_done_once() -> None:
    backend = rf.FakeBackend()
    label.run_batch([{"text": "same"}] * 40, backend=backend)
    assert len(backend.calls) == 1
    naive = rf.FakeBackend()
    label.run_batch([{"text": "same"}] * 40, backend=naive, policy=rf.Policy(optimize=False))
    assert len(naive.calls) == 40


def test_unseeded_sampling_is_never_merged() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("x", temperature=1.0, max_tokens=8)
        return s["x"]

    backend = rf.FakeBackend()
    results = p.run_batch([{}] * 20, backend=backend)
    assert len(backend.calls) == 20 and len({r.text for r in results}) > 1


def test_rows_that_share_a_prefix_run_next_to_each_other() -> None:
    documents = [f"document {d} " + "word " * 50 for d in range(5)]
    rows = [{"text": f"{documents[i % 5]} question {i}"} for i in range(60)]
    backend = rf.FakeBackend()
    label.run_batch(rows, backend=backend, concurrency=1, window=60)
    order = [next(d for d in range(5) if documents[d] in c.text) for c in backend.calls]
    assert order == [d for d in range(5) for _ in range(12)]


def test_the_first_rows_start_before_a_whole_window_is_traced() -> None:
    traced: list[int] = []
    at_first: list[int] = []

    class Watching(rf.FakeBackend):
        def generate(self, request: Any) -> Any:
            at_first.append(len(traced))
            return super().generate(request)

    @rf.program
    def p(s: rf.State, i: int) -> Any:
        traced.append(i)
        s += rf.user(f"row {i}")
        s += rf.assistant(rf.gen("x", max_tokens=4))
        return s["x"]

    rows = [{"i": i} for i in range(200)]
    results = p.run_batch(rows, backend=Watching(), concurrency=64, window=200)
    assert len(at_first) == len(results) == 200 and not results.failed
    assert at_first[0] <= 32 + 64  # the second part is traced while the first one starts


def test_concurrency_is_bounded() -> None:
    now, most = 0, 0
    four = asyncio.Event()

    async def work() -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if most >= 4:
            four.set()
        await asyncio.wait_for(four.wait(), 60)
        await asyncio.sleep(0.001)  # time for a fifth
        now -= 1
        return 1

    @rf.program
    def p(s: rf.State, i: int) -> Any:
        return rf.call(work)

    p.run_batch([{"i": i} for i in range(50)], backend=rf.FakeBackend(), concurrency=4)
    assert most == 4


def test_programs_that_look_at_values_work_in_batches() -> None:
    @rf.program
    def p(s: rf.State, i: int) -> Any:
        s += rf.user(f"row {i}")
        s += rf.assistant(rf.gen("yn", choices=["yes", "no"]))
        if s["yn"] == "yes":
            s += rf.user("why?")
            s += rf.assistant(rf.gen("why", max_tokens=8))
            return s["why"]
        return "no"

    rows = [{"i": i} for i in range(40)]
    results = p.run_batch(rows, backend=rf.FakeBackend(), concurrency=4, window=16)
    alone = [p.run(**row, backend=rf.FakeBackend()).text for row in rows]
    assert [r.text for r in results] == alone


def test_a_failed_row_stops_nobody_else() -> None:
    @rf.program
    def p(s: rf.State, i: int) -> Any:
        if i == 3:
            raise ValueError("row three")
        s += rf.gen("x", max_tokens=2)
        return s["nope"] if i == 5 else s["x"]

    results = p.run_batch([{"i": i} for i in range(8)], backend=rf.FakeBackend(), concurrency=2)
    assert sorted(results.failed) == [3, 5]
    with pytest.raises(ValueError, match="row three"):
        _ = results[3].text
    assert results[4].ok


def test_a_row_that_raises_a_cancellation_is_a_failed_row() -> None:
    @rf.program
    async def p(s: rf.State, i: int) -> Any:
        if i == 0:
            raise asyncio.CancelledError
        return str(i)

    rows = [{"i": i} for i in range(4)]
    results = p.run_batch(rows, backend=rf.FakeBackend(), concurrency=1)
    assert [r.text for r in results[1:]] == ["1", "2", "3"]
    assert str(results.failed[0]) == "program 'p': the program raised CancelledError."


def test_a_batch_that_is_cancelled_cancels_its_rows() -> None:
    async def main() -> list[int]:
        here, ended = threading.Event(), []

        @rf.program
        async def p(s: rf.State, i: int) -> Any:
            try:
                if i == 1:
                    here.set()
                await asyncio.Event().wait()
            finally:
                ended.append(i)

        rows = [{"i": i} for i in range(2)]
        work = asyncio.create_task(p.arun_batch(rows, backend=rf.FakeBackend()))
        await asyncio.to_thread(here.wait)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        while len(ended) < 2:  # on the background loop
            await asyncio.sleep(0)
        return sorted(ended)

    assert asyncio.run(main()) == [0, 1]


@pytest.mark.parametrize("name", ["concurrency", "window"])
@pytest.mark.parametrize("value", ["3", 0, 2.5, None, True])
def test_options_that_are_no_counts_are_named(name: str, value: Any) -> None:
    with pytest.raises(ProgramError) as refused:
        label.run_batch([], backend=rf.FakeBackend(), **{name: value})
    assert str(refused.value) == f"{name}={value!r} is not allowed. A whole number from 1 up."


@pytest.mark.parametrize(("rows", "says"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_an_interrupt_counts_its_rows(rows: int, says: str) -> None:
    done = rf.BatchResult({i: Result("p", i) for i in range(rows)})
    said = str(rf.BatchInterruptedError("p", done))
    assert said == f"batch of 'p' interrupted with {says} finished"


def test_rows_that_do_not_fit_the_program_are_named() -> None:
    rows: list[Any] = [{"text": "a"}, {"txt": "b"}, "c", {}]
    results = label.run_batch(rows, backend=rf.FakeBackend())
    assert results[0].ok and sorted(results.failed) == [1, 2, 3]
    says = [str(error) for error in results.failed.values()]
    assert "row 1 has 'txt', which the program does not take. It takes: text" in says[0]
    assert "row 2 is a str" in says[1] and "missing a required argument: 'text'" in says[2]


def test_a_batch_file_resumes_and_repeats_changed_rows(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.jsonl"
    rows = [{"id": f"r{i}", "text": f"t{i}"} for i in range(10)]
    label.run_batch(rows[:6], backend=rf.FakeBackend(), out=out)
    with out.open("a") as file:
        file.write('{"id": "r6", "program": "label", "ro')
    backend = rf.FakeBackend()
    rows[2] = {"id": "r2", "text": "changed"}
    again = label.run_batch(rows, backend=backend, out=out)
    assert sorted(again.by_row) == [2, 6, 7, 8, 9] and len(backend.calls) == 5
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["id"] for line in lines} == {f"r{i}" for i in range(10)}
    assert all(line["text"] in ("good", "bad") for line in lines)
    assert not label.run_batch(rows, backend=backend, out=out)

    @rf.program
    def other(s: rf.State, text: str) -> Any:
        return s.text()

    with pytest.raises(ProgramError, match="holds rows of program 'label'"):
        other.run_batch(rows, backend=backend, out=out)
    out.write_text("not json\n")
    with pytest.raises(ProgramError, match="line 1, is not a row"):
        label.run_batch(rows, backend=backend, out=out)


def test_arun_batch() -> None:
    async def main() -> rf.BatchResult:
        return await label.arun_batch([{"text": "a"}, {"text": "b"}], backend=rf.FakeBackend())

    assert len(asyncio.run(main())) == 2


def test_an_interrupt_keeps_the_finished_rows(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio
            import ramify as rf

            async def work(i):
                await asyncio.sleep(0 if i < 5 else 60)
                print("row", i, flush=True)
                return i

            @rf.program
            def p(s, i):
                return rf.call(work, i)

            try:
                p.run_batch([{"i": i} for i in range(10)], backend="fake:", out="out.jsonl")
            except rf.BatchInterruptedError as interrupted:
                print("kept", sorted(r.value for r in interrupted.results), flush=True)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    while len((tmp_path / "out.jsonl").read_text().splitlines()) < 5:
        pass
    process.send_signal(signal.SIGINT)
    assert "kept [0, 1, 2, 3, 4]" in process.communicate(timeout=60)[0]
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5
