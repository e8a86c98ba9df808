"""The benchmark itself: its workload, and that every contender answers the same question."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.harness import Options, models
from benchmarks.harness.models import LlamaShape
from benchmarks.kv_join import OURS, TEXT, Workload, run

TINY = LlamaShape(
    layers=2, hidden=64, heads=4, kv_heads=2, intermediate=96, vocab=512, dtype="float32"
)
WORK = Workload(prefix=20, branches=3, size=12, suffix=4)


def test_branches_begin_differently() -> None:
    prefix, blocks, suffix = Workload().parts(4096)
    assert (len(prefix), [len(block) for block in blocks], len(suffix)) == (256, [256] * 8, 16)
    assert len({block[0] for block in blocks}) == 8


def test_what_each_contender_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.tempfile, "gettempdir", lambda: str(tmp_path))
    report = run(Options(repeats=5), TINY, WORK)
    computed = {row["contender"]: row.get("computed") for row in report.rows}
    assert computed[OURS] == 3 + 4, "the last token of each branch, and what goes on"
    assert computed[f"{OURS}, repair 16"] == 2 * 12 + 1 + 4
    assert computed[TEXT] == computed["hf generate, prefix by hand"] == 1 + 2 * 12 + 4
    assert computed["hf generate"] == 20 + 3 * 12 + 4
    assert set(report.ratios) == {"kv_join", "kv_join_repair_16"}
    whole = next(r for r in report.rows if r["contender"].endswith("repair 64"))
    assert whole["equal tokens"] == "64 of 64" and whole["kl first"] < 1e-5
