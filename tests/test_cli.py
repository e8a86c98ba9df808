"""The command line, as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import ramify as rf

@rf.program
def label(s, text, n=1):
    """Labels a text."""
    s += rf.user(f"{text} {n}")
    s += rf.assistant(rf.gen("label", choices=["good", "bad"]))
    if text == "fail":
        raise ValueError("cannot")
    return s["label"]
'''


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prog.py").write_text(PROGRAM)
    return tmp_path


def ramify(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    environment.pop("RAMIFY_BACKEND", None)
    return subprocess.run(
        [sys.executable, "-m", "ramify.cli", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def test_run(folder: Path) -> None:
    done = ramify(
        folder, "run", "prog.py", "-s", "text=hi", "-s", "n=2", "-b", "fake:", "--explain"
    )
    assert done.returncode == 0 and done.stdout.strip() in ("good", "bad")
    assert "happened" in done.stderr
    done = ramify(folder, "run", "prog.py:label", "-s", "text=hi", "-b", "fake:", "--json")
    assert json.loads(done.stdout)["variables"]["label"] in ("good", "bad")


def test_batch_resumes_and_tells_failed_rows(folder: Path) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("a", "fail", "b"))
    (folder / "in.jsonl").write_text(rows)
    words = ("batch", "prog.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    done = ramify(folder, *words)
    assert done.returncode == 1 and "row 1: cannot" in done.stderr
    assert "3 rows run, 1 failed" in done.stderr
    done = ramify(folder, *words)
    assert "1 rows run, 1 failed" in done.stderr
    done = ramify(folder, "batch", "prog.py", "-", "o.jsonl", "-b", "fake:", "--quiet", stdin=rows)
    assert len((folder / "o.jsonl").read_text().splitlines()) == 3


def test_explain_and_draw(folder: Path) -> None:
    done = ramify(folder, "explain", "prog.py", "-s", "text=hi")
    assert done.returncode == 0 and "label" in done.stdout and "prioritize" in done.stdout
    for ending, begins in ((".svg", "<svg"), (".html", "<"), (".mmd", "flowchart"), (".json", "{")):
        done = ramify(folder, "draw", "prog.py", f"out{ending}", "-s", "text=hi")
        assert done.returncode == 0, done.stderr
        text = (folder / f"out{ending}").read_text()
        assert text.lstrip().startswith(begins) and "label" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "none.py"], "no file 'none.py'"),
        (["run", "prog.py:nope", "-b", "fake:"], "no program 'nope'. Its programs: label"),
        (["run", "prog.py", "-b", "fake:"], "missing a required argument: 'text'"),
        (["run", "prog.py", "-s", "text", "-b", "fake:"], "has no '='"),
        (["run", "prog.py", "-s", "text=x"], "no backend was named"),
        (["run", "prog.py", "-s", "text=x", "-b", "zzz:"], "names no backend"),
        (["batch", "prog.py", "none.jsonl", "o.jsonl", "-b", "fake:"], "cannot be read"),
        (["draw", "prog.py", "x.gif", "-s", "text=x"], "not a kind of drawing"),
    ],
)
def test_wrong_use_is_one_clear_line(folder: Path, words: list[str], says: str) -> None:
    done = ramify(folder, *words)
    assert done.returncode in (1, 2) and says in done.stderr
    assert "Traceback" not in done.stderr
