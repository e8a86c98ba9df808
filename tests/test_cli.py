"""The command line, as a user types it."""

import json
import os
import signal
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


def test_a_line_that_is_no_json_is_named(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"text": "a"}\n{"text": \n')
    done = ramify(folder, "batch", "prog.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    assert done.returncode == 2
    assert "in.jsonl, line 2, is not JSON: Expecting value (column 9)." in done.stderr


def test_batch_resumes_and_tells_failed_rows(folder: Path) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("a", "fail", "b"))
    (folder / "in.jsonl").write_text(rows)
    words = ("batch", "prog.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    done = ramify(folder, *words)
    assert done.returncode == 1 and "row 1: cannot" in done.stderr
    assert "3 rows run, 1 failed" in done.stderr
    done = ramify(folder, *words)
    assert "1 row run, 1 failed" in done.stderr
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
        (["draw", "prog.py", "none/x.svg", "-s", "text=x"], "cannot be written"),
        (["run", "prog.py", "-s", "n=1", "-s", "n=2"], "--set n is given twice"),
        (["run", "half.py"], "half.py, line 2, is not Python"),
        (["run", "binary.jsonl"], "not a Python file"),
        (["run", "zeros.py"], "zeros.py is not Python"),
        (["batch", "prog.py", "binary.jsonl", "o.jsonl", "-b", "fake:"], "not a text in UTF-8"),
        (["batch", "prog.py", ".", "o.jsonl", "-b", "fake:"], "cannot be read: Is a directory"),
        (["batch", "prog.py", "prog.py", "o.jsonl", "-b", "fake:"], "line 2, is not JSON"),
        (["batch", "prog.py", "none.jsonl", ".", "-b", "fake:"], "cannot be opened"),
        (["batch", "prog.py", "none.jsonl", "o.parquet", "-b", "fake:"], "Add --ray"),
    ],
)
def test_wrong_use_is_one_clear_line(folder: Path, words: list[str], says: str) -> None:
    (folder / "half.py").write_text("import ramify\ndef f(:\n")
    (folder / "zeros.py").write_bytes(b"\0\0")
    (folder / "binary.jsonl").write_bytes(b"\xbb\xff\n")
    done = ramify(folder, *words)
    assert done.returncode in (1, 2) and says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_that_of_the_package(folder: Path) -> None:
    import ramify as package

    assert ramify(folder, "--version").stdout == f"ramify {package.__version__}\n"


def test_an_empty_file_is_a_batch_of_no_rows(folder: Path) -> None:
    (folder / "in.jsonl").write_text("")
    done = ramify(folder, "batch", "prog.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    assert done.returncode == 0 and "0 rows run" in done.stderr


def test_rows_of_a_file_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"text": "a"}\n', encoding="utf-8-sig")
    done = ramify(folder, "batch", "prog.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    assert done.returncode == 0 and "1 row run, 0 failed" in done.stderr


def test_text_that_utf8_cannot_hold_is_printed_all_the_same(folder: Path) -> None:
    (folder / "half.py").write_text(
        "import ramify as rf\n@rf.program\ndef p(s, t):\n    return f'<{t}>'\n"
    )
    words = ("run", "half.py", "-s", 't="\\ud83d"', "-b", "fake:")
    assert ramify(folder, *words).stdout == "<?>\n"
    assert json.loads(ramify(folder, *words, "--json").stdout)["text"] == "<\ud83d>"


def test_an_interrupted_batch_says_how_to_go_on(folder: Path) -> None:
    """The program tells us that a row is done before the interrupt comes."""
    (folder / "slow.py").write_text(
        "import threading\nimport ramify as rf\n"
        "def wait(text):\n"
        "    if text == 'b':\n        print('here', flush=True)\n        threading.Event().wait()\n"
        "    return text\n"
        "@rf.program\ndef p(s, text):\n    return rf.call(wait, text)\n"
    )
    (folder / "in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    words = ("batch", "slow.py", "in.jsonl", "out.jsonl", "-b", "fake:", "--quiet")
    process = subprocess.Popen(
        [sys.executable, "-m", "ramify.cli", *words, "--concurrency", "1"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted with 1 row finished; run the same command to go on" in said
    assert len((folder / "out.jsonl").read_text().splitlines()) == 1
