"""Reports: one JSON object, and a table for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import MissingDataError, Options, Report, data_folder
from benchmarks.harness.report import cell, grid


def test_json_is_one_object_with_the_four_fields() -> None:
    report = Report("b", [{"engine": "ours", "seconds": 0.5}], {"peer": 2.0}, {"cores": 2})
    assert json.loads(report.json()) == {
        "benchmark": "b",
        "machine": {"cores": 2},
        "rows": [{"engine": "ours", "seconds": 0.5}],
        "ratios": {"peer": 2.0},
    }


def test_json_keeps_six_digits() -> None:
    found = json.loads(Report("b", [{"s": 1 / 3, "n": 5}], {"peer": 2 / 3}).json())
    assert (found["rows"], found["ratios"]) == ([{"s": 0.333333, "n": 5}], {"peer": 0.666667})


def test_table_says_name_rows_ratios_and_machine() -> None:
    text = Report("b", [{"engine": "ours", "s": 0.5}], {"peer": 2.0}, {"cores": 2}).table()
    for part in ("b\n", "ours", "0.500", "peer", "2.00x", "cores: 2"):
        assert part in text


def test_grid_leaves_blank_what_a_row_lacks_and_aligns_numbers_to_the_right() -> None:
    lines = grid([{"name": "a", "n": 5}, {"name": "long name", "other": 1.5}]).splitlines()
    assert lines[0] == "name       n  other"
    assert lines[2] == "a          5"
    assert lines[3] == "long name     1.500"
    assert grid([]) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (12345.6, "12,346"), (0.00001, "1.00e-05"), (0.0, "0.000"), (True, "True")],
)
def test_cell_keeps_the_digits_that_mean_something(value: object, text: str) -> None:
    assert cell(value) == text


def test_options_name_the_command_that_repeats_a_run() -> None:
    options = Options(quick=True, repeats=7)
    assert options.command("x") == "python -m benchmarks x --quick --repeats 7"


def test_missing_data_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="--data DIR"):
        data_folder(tmp_path, "squad")
    (tmp_path / "squad").mkdir()
    assert data_folder(tmp_path, "squad") == tmp_path / "squad"
