"""Batches on a real Ray with two workers (`make test-ray`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError
from ramify.runtime.ray import RayOptions

ray = pytest.importorskip("ray", reason="Ray is not installed here: make test-ray")
ROOT = Path(__file__).parents[2]


@rf.program
def label(s: rf.State, page: str, question: str, marker: str = "") -> Any:
    s += rf.system(f"Answer from page {page}. " + "harbour trade and fish " * 10)
    s += rf.user(question)
    s += rf.assistant(rf.gen("a", max_tokens=8))
    rf_call = rf.call(once, marker, s["a"])
    return rf.lines(s["a"], rf_call)


def once(marker: str, answer: str) -> str:
    """Kill this very worker, the first time that it comes here."""
    if marker:
        try:
            Path(marker).touch(exist_ok=False)
        except FileExistsError:
            return "again"
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "page": f"{i % 7}", "question": f"question {i}"} for i in range(count)]


def ids_of(path: Path) -> Counter[str]:
    return Counter(json.loads(line)["id"] for line in path.read_text().splitlines())


def test_rows_on_two_workers_equal_rows_here(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    found = label.run_batch(
        rows(300), backend="fake:", executor="ray", ray=RayOptions(chunk=16, window=100), out=out
    )
    here = label.run_batch(rows(300), backend="fake:")
    assert [one.text for one in found] == [one.text for one in here]
    assert set(ids_of(out).values()) == {1} and len(ids_of(out)) == 300
    again = label.run_batch(rows(300), backend="fake:", executor="ray", out=out)
    assert len(again) == 0 and len(ids_of(out)) == 300


def test_a_worker_that_is_killed_costs_no_row_and_doubles_none(tmp_path: Path) -> None:
    given = rows(200)
    given[57]["marker"] = str(tmp_path / "killed")
    out = tmp_path / "out.jsonl"
    found = label.run_batch(
        given, backend="fake:", executor="ray", ray=RayOptions(chunk=10), out=out
    )
    assert not found.failed and len(found) == 200 and found[57].text.endswith("again")
    assert set(ids_of(out).values()) == {1} and len(ids_of(out)) == 200


def test_a_row_that_always_kills_its_worker_fails_by_name(tmp_path: Path) -> None:
    found = always.run_batch(
        [{"word": f"w{i}"} for i in range(12)],
        backend="fake:",
        executor="ray",
        ray=RayOptions(chunk=2, restarts=1),
    )
    assert sorted(found.failed) == [4, 5] or len(found.failed) == 2
    assert all("worker died 2 times" in str(error) for error in found.failed.values())


@rf.program
def always(s: rf.State, word: str) -> Any:
    s += rf.user(word)
    s += rf.assistant(rf.gen("a", max_tokens=4))
    return rf.call(deadly, word)


def deadly(word: str) -> str:
    if word == "w5":
        os.kill(os.getpid(), signal.SIGKILL)
    return word


def test_failing_rows_and_wrong_backends_are_named() -> None:
    found = label.run_batch(
        [{"page": "1", "question": "x"}, {"page": "1"}], backend="fake:", executor="ray"
    )
    assert list(found.failed) == [1] and "question" in str(found.failed[1])
    with pytest.raises(ProgramError, match="named by a string"):
        label.run_batch(rows(1), backend=rf.FakeBackend(), executor="ray")


def test_the_command_line_goes_on_after_its_driver_was_killed(tmp_path: Path) -> None:
    """Also: Parquet in and out."""
    import pyarrow.parquet as parquet
    from pyarrow import Table

    script, again = tmp_path / "prog.py", tmp_path / "again"
    script.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            import ramify as rf

            def held(page, text):
                # rows of most pages wait until the driver has been killed
                while page not in "012" and not Path({str(again)!r}).exists():
                    time.sleep(0.02)
                return text

            @rf.program
            def slowly(s, page: str, question: str):
                s += rf.system(f"Page {{page}}")
                s += rf.user(question)
                s += rf.assistant(rf.gen("a", max_tokens=4))
                return rf.call(held, page, s["a"])
            """
        )
    )
    source = tmp_path / "in.parquet"
    parquet.write_table(Table.from_pylist(rows(400)), source)
    out = tmp_path / "out.parquet"
    lines = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "ramify.cli", "batch", f"{script}:slowly", str(source)]
    command += [str(out), "--ray", "--backend", "fake:", "--quiet", "--concurrency", "4"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    driver = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True)
    end = time.monotonic() + 120
    while time.monotonic() < end and not (lines.exists() and lines.read_text().count("\n") > 60):
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = lines.read_text().count("\n")
    assert 60 < finished < 400
    again.touch()
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=240)
    assert set(ids_of(lines).values()) == {1} and len(ids_of(lines)) == 400
    assert sorted(row["id"] for row in parquet.read_table(out).to_pylist()) == sorted(
        row["id"] for row in rows(400)
    )
