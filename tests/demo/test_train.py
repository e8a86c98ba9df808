"""A training run in small: stages open, the end is kept, exported, and gone on from."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from examples.demo_world import train  # noqa: E402
from examples.demo_world.stages import STAGES  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402


class Ticks:
    """A clock for `Run.train`: one second of processor time per look."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    easy = replace(STAGES[0], gates={"first": 0.0})
    monkeypatch.setattr(train, "STAGES", (easy, replace(STAGES[0], name="second", gates={})))
    monkeypatch.setattr(train, "CHECK_STEPS", 2)
    monkeypatch.setattr(train, "DEV_TOKENS", 150)
    monkeypatch.setattr(train, "time", Ticks())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_path() / name, tmp_path)
    return tmp_path


def run(folder: Path, minutes: float, resume: bool = False) -> train.Run:
    args = Namespace(
        run=folder, seed=1, device="cpu", resume=resume, stage=None, weights=None,
        compile=False, batch=300, minutes=minutes, decay_minutes=None, muon_lr=0.02, adam_lr=0.002,
    )  # fmt: skip
    made = train.Run(args)
    made.train()
    return made


def test_a_run_ends_by_itself_and_is_gone_on_from(folder: Path) -> None:
    first = run(folder, 0.15)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows][:2] == ["first", "second"]
    assert rows[-1]["step"] == first.progress.step > 2
    exported = transformers.LlamaForCausalLM.from_pretrained(folder / "model")
    assert exported.dtype == torch.bfloat16
    best = torch.load(folder / "best.pt")
    for name, tensor in exported.state_dict().items():
        assert torch.equal(tensor, best[name].to(torch.bfloat16))
    assert model_path(folder / "model") == folder / "model"

    second = run(folder, 0.05, resume=True)
    assert second.progress.step > first.progress.step
    assert second.progress.stage == 1


def test_the_finish_file_ends_a_long_run(folder: Path) -> None:
    (folder / "finish").touch()
    made = run(folder, 0.3)
    assert not (folder / "finish").exists()
    assert 2 < made.progress.step < 12  # of 18 seconds, 7 are left after the first step
