"""The file of a batch: what a killed process left is mended, what is not ours is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError
from ramify.runtime import BatchFile


@rf.program
def echo(s: rf.State, text: str) -> Any:
    s += rf.user(text)
    s += rf.assistant(rf.gen("answer", max_tokens=4))
    return f"{text}: {s['answer']}"


def run(rows: list[Any], out: Path) -> rf.BatchResult:
    return echo.run_batch(rows, backend="fake:", out=out)


@pytest.mark.parametrize(
    "text", ["my notes, a line without an end", '{"id": "x"}', '{"id": 1, "text": "a"}', "{\n", "7"]
)
def test_what_a_batch_did_not_write_stays_as_it_is(tmp_path: Path, text: str) -> None:
    out = tmp_path / "notes"
    out.write_text(text)
    with pytest.raises(ProgramError, match="line 1, is not a row of a batch"):
        run([{"text": "a"}], out)
    assert out.read_text() == text


def test_a_line_cut_anywhere_is_taken_away_and_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rows = [{"id": 'first "one"', "text": "a"}, {"id": "second", "text": "b"}]
    run(rows, out)
    lines = out.read_bytes().splitlines(keepends=True)
    for before, cut in ((b"", lines[0]), (b"", lines[1]), (lines[0], lines[1])):
        for size in range(len(cut)):
            out.write_bytes(before + cut[:size])
            with BatchFile(out, "echo") as file:
                assert len(file.finished) == bool(before)
            assert out.read_bytes() == before
    out.write_bytes(lines[0] + lines[1][:50])
    assert len(run(rows, out)) == 1
    assert [json.loads(line)["id"] for line in out.read_bytes().splitlines()] == [
        json.loads(line)["id"] for line in lines
    ]


def test_a_half_line_of_another_program_is_not_ours(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "0", "program": "other", "row"')
    with pytest.raises(ProgramError, match="is not a row of a batch"):
        run([{"text": "a"}], out)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "out.jsonl"):
        with pytest.raises(ProgramError, match=rf"output file '{out}' cannot be opened"):
            run([{"text": "a"}], out)


def test_rows_of_one_id_with_different_contents_are_all_finished(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rows = [{"id": "same", "text": "a"}, {"id": "same", "text": "b"}]
    assert len(run(rows, out)) == 2
    assert len(run(rows, out)) == 0
    assert len(out.read_text().splitlines()) == 2


def test_half_of_a_surrogate_pair_stops_nobody(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rows = [{"text": "\ud83d"}, {"text": "ü"}]
    assert not run(rows, out).failed
    texts = sorted(json.loads(line)["text"] for line in out.read_text("utf-8").splitlines())
    assert [text[0] for text in texts] == ["ü", "\ud83d"]
    assert len(run(rows, out)) == 0


def test_a_row_that_is_no_mapping_fails_alone_also_with_a_file(tmp_path: Path) -> None:
    results = run(["abc", {"text": "a"}], tmp_path / "out.jsonl")
    assert list(results.failed) == [0] and "not a mapping of arguments" in str(results.failed[0])


def test_rows_that_failed_are_tried_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    results = echo.run_batch(
        [{"text": "a"}], backend=rf.FakeBackend(fail=lambda request: ValueError("no")), out=out
    )
    assert list(results.failed) == [0]
    assert not run([{"text": "a"}], out).failed
    assert [json.loads(line)["error"] is None for line in out.read_text().splitlines()] == [
        False,
        True,
    ]
    assert len(run([{"text": "a"}], out)) == 0
