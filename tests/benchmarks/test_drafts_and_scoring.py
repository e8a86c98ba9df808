"""The benchmarks of drafts and scores run on a small model, and both sides say the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks import drafts, scoring
from benchmarks.harness import models
from benchmarks.harness.models import LlamaShape, random_llama

TINY = LlamaShape(
    layers=2, hidden=64, heads=4, kv_heads=2, intermediate=96, vocab=4096, dtype="float32"
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.tempfile, "gettempdir", lambda: str(tmp_path))


def test_drafts_are_compared_on_equal_answers() -> None:
    from ramify.backend.radix import RadixBackend

    requests = drafts.random_requests(3, 20, 12)
    with asyncio.Runner() as runner:
        backends = {
            setting: RadixBackend.open(random_llama(TINY), draft=setting, pool_tokens=500)
            for setting in drafts.SETTINGS
        }
        replays = {s: drafts.Replay(b, requests, True, runner) for s, b in backends.items()}
        rows, ratio = drafts.measure("w", replays, 2)
        for backend in backends.values():
            runner.run(backend.close())
    assert [row["draft"] for row in rows] == list(drafts.SETTINGS) and ratio > 0
    assert all(row["same_as_off"] == 1 for row in rows)
    assert rows[0]["drafted"] == 0 and rows[0]["acceptance_%"] is None


def test_scores_are_those_of_transformers() -> None:
    rows, ratios = scoring.compare(TINY, prompt=16, long=64, repeats=1)
    assert set(ratios) == {"options_16x16", "prompt_64", "prompt_again", "prompt_longer"}
    assert max(row["largest_difference"] for row in rows) < 1e-3
