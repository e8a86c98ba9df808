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
    from ramify.backend.radix.draft import Drafter
    from ramify.backend.radix.draft_cost import DraftPolicy

    requests = drafts.random_requests(3, 20, 12)
    drafters = {"off": None, "off again": None, "auto": Drafter(DraftPolicy()),
                "8": Drafter(DraftPolicy(fixed=8))}  # fmt: skip
    with asyncio.Runner() as runner:
        backend = RadixBackend.open(random_llama(TINY), draft="off", pool_tokens=500)
        replays = {
            setting: drafts.Replay(backend, drafter, requests, True, runner)
            for setting, drafter in drafters.items()
        }
        rows, ratios = drafts.measure("w", replays, 2)
        runner.run(backend.close())
    assert set(ratios) == {"w", "w_noise"} and min(ratios.values()) > 0
    assert [row["draft"] for row in rows] == list(drafts.SETTINGS)
    assert all(row["same_as_off"] == 1 for row in rows)
    assert rows[0]["drafted"] == 0 and rows[0]["acceptance_%"] is None


def test_scores_are_those_of_transformers() -> None:
    rows, ratios = scoring.compare(TINY, prompt=16, long=64, repeats=1)
    assert set(ratios) == {"options_16x16", "prompt_64", "prompt_again", "prompt_longer"}
    assert max(row["largest_difference"] for row in rows) < 1e-3
