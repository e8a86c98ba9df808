"""`python -m benchmarks`."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks.harness import MissingDataError, Options, Report


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """A benchmark that prints, as libraries do, and remembers its options."""
    asked: list[Options] = []

    def run(options: Options) -> Report:
        print("a library speaks")
        asked.append(options)
        return Report("toy", [{"engine": "ours"}], {"peer": 3.0}, {"torch_threads": 1})

    monkeypatch.setattr(command, "names", lambda: ["toy"])
    monkeypatch.setattr(command.importlib, "import_module", lambda _: SimpleNamespace(run=run))
    return asked


def test_every_benchmark_says_what_it_is_about() -> None:
    assert {"overhead", "roofline", "shared_prefix"} <= set(command.names())
    assert all(command.about(name) for name in command.names())


def test_without_a_name_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in command.names())


def test_json_prints_one_object_and_nothing_else(
    toy: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["toy", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["benchmark", "machine", "rows", "ratios"]
    assert found["machine"]["command"] == "python -m benchmarks toy --quick"
    assert found["machine"]["torch_threads"] == 1
    assert "cores_used_by_others" in found["machine"]
    assert toy == [Options(quick=True)]


def test_a_table_is_for_people(toy: list[Options], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["toy"]) == 0
    assert "3.00x" in capsys.readouterr().out


def test_missing_data_skips_with_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: Options) -> Report:
        raise MissingDataError("data set 'x' is not there")

    monkeypatch.setattr(command, "names", lambda: ["toy"])
    monkeypatch.setattr(command.importlib, "import_module", lambda _: SimpleNamespace(run=run))
    assert command.main(["toy"]) == 2
    assert "data set 'x'" in capsys.readouterr().err
    assert command.main(["all"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such"], "no benchmark 'no-such'"),
        (["roofline", "--repeats", "3"], "at least 5"),
        (["all", "--json"], "name one benchmark"),
    ],
)
def test_bad_arguments_say_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("endless", [True, False])
def test_a_thread_that_a_library_left_does_not_keep_the_process(endless: bool) -> None:
    code = f"""
import threading
from benchmarks.__main__ import leave
stop = threading.Event()
threading.Thread(target=stop.wait, name="left over").start()
if not {endless}:
    stop.set()
print("the result")
leave(3, patience=0.1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout == "the result\n"
    assert ("left over does not end" in done.stderr) == endless
