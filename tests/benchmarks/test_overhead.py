"""The overhead benchmark: its programs have the sizes that it speaks of, and its parts run."""

from __future__ import annotations

import pytest

import ramify as rf
from benchmarks import overhead


def test_the_programs_have_twenty_and_five_nodes_and_run() -> None:
    assert len(overhead.twenty.compile(topic="x").graph.nodes) == 20
    assert len(overhead.five.compile(text="x").graph.nodes) == 5
    assert overhead.twenty.run(topic="x", backend=rf.FakeBackend()).value["complete"] in {
        "yes",
        "no",
    }
    assert overhead.five.run(text="x", backend=rf.FakeBackend()).value["printed"] in {"yes", "no"}


def test_import_is_timed_in_a_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < overhead.import_seconds() < 60
    monkeypatch.setattr(overhead, "IMPORT", "print('import ramify imports torch')")
    with pytest.raises(RuntimeError, match="imports torch"):
        overhead.import_seconds()


def test_the_parts_run() -> None:
    overhead.plan_rows(overhead.WINDOW + 2)
    overhead.run_rows(2)
    found = overhead.many_rows_apart(20)
    assert found["seconds"] > 0
    assert found["grown_mb"] < 200


def test_a_line_says_how_much_of_the_budget_is_used() -> None:
    found = overhead.line("x", "s", 2.0, [1.0, 0.5, 4.0])
    assert (found["median"], found["best"], found["worst"], found["limit_%"]) == (1.0, 0.5, 4.0, 50)
