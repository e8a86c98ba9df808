"""Train the demo model: `python -m examples.demo_world.train [--device cuda] [--minutes 75]`.

Muon for the matrices, AdamW for embeddings and norms; stages open on accuracy, never on time.
The learning rate is constant, then falls to zero over the last 40 % of the minutes. Everything is
seeded; `--resume` goes on from the last checkpoint. A file named `finish` in the run's folder
starts the fall at once, over `--decay-minutes`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.demo_world import tokenizer
from examples.demo_world.batches import pack, training_batch
from examples.demo_world.model import answers_loss, build, export
from examples.demo_world.stages import LEVEL1, STAGES
from examples.demo_world.tokenizer import Encoder

MUON_LR, ADAM_LR = 0.02, 2e-3
WARMUP_STEPS, CHECK_STEPS = 100, 100


@dataclass
class Progress:
    """Where a run is. Saved with every checkpoint."""

    step: int = 0
    stage: int = 0
    tokens: int = 0
    minutes: float = 0.0
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Clock:
    """The learning rate's schedule in minutes of this call."""

    minutes: float
    decay: float

    def scale(self, spent: float, step: int) -> float:
        """Factor on the learning rates after `spent` minutes; 0 when the time is up."""
        left = (self.minutes - spent) / max(self.decay, 1e-9)
        return max(0.0, min(1.0, left, (step + 1) / WARMUP_STEPS))


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest."""
    matrices = [p for n, p in model.named_parameters() if "layers." in n and p.ndim == 2]
    others = [p for n, p in model.named_parameters() if "layers." not in n or p.ndim < 2]
    return [
        torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def check(model: LlamaForCausalLM, encoder: Encoder, stage: int, device: str) -> dict[str, float]:
    """Exact answers over dev towns, for this stage's mix and for level 1."""
    scores = {}
    for mix, length in ((STAGES[stage].mix, STAGES[stage].length), (LEVEL1, 384)):
        batch = pack(
            random.Random(f"dev/{mix.name}"), encoder, [mix], "dev", 4096 // length + 8, length
        )
        _, exact = answers_loss(model, batch, device)
        scores[mix.name] = round(exact.float().mean().item(), 3)
    return scores


class Run:
    """One training run in a folder: state.pt (resumable), log.jsonl, and the exported model."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fast = self._tokenizer()
        self.encoder = Encoder(self.fast)
        self.model = build(args.seed, self.fast).to(args.device)
        self.optimizers = optimizers(self.model)
        self.progress = Progress()
        if args.resume:
            self._load()
        if args.stage is not None:
            self.progress.stage = args.stage
        if args.compile:
            self.model.model.compile(dynamic=False)

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        if (self.folder / "tokenizer.json").is_file():
            return AutoTokenizer.from_pretrained(self.folder)
        fast = tokenizer.build(self.args.seed)
        tokenizer.save(fast, self.folder)
        return fast

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.folder / "state.pt", map_location=self.args.device)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Checkpoint, replacing the last one only when it is whole."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": vars(self.progress),
        }
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").replace(self.folder / "state.pt")

    def log(self, **row: Any) -> None:
        """One line of JSON to the screen and to log.jsonl."""
        row = {
            "step": self.progress.step,
            "stage": STAGES[self.progress.stage].mix.name,
            "tokens": self.progress.tokens,
            "minutes": round(self.progress.minutes, 2),
            **row,
        }
        print(json.dumps(row), flush=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def step(self, scale: float) -> float:
        """One optimizer step; returns the loss."""
        batch = training_batch(
            self.encoder, self.args.seed, self.progress.step, self.progress.stage, self.args.batch
        )
        loss, _ = answers_loss(self.model, batch, self.args.device)
        loss.backward()
        rates = (self.args.muon_lr, self.args.adam_lr)
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale * STAGES[self.progress.stage].rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += batch.ids.numel()
        return float(loss.detach())

    def advance(self, scores: dict[str, float], may_open: bool) -> None:
        """Open the next stage if this one's gate is reached."""
        stage = STAGES[self.progress.stage]
        if (
            may_open
            and scores[stage.mix.name] >= stage.gate
            and self.progress.stage + 1 < len(STAGES)
        ):
            self.progress.stage += 1

    def train(self) -> None:
        """Train until the minutes are over, then export."""
        decay = self.args.decay_minutes or 0.4 * self.args.minutes
        clock = Clock(self.args.minutes, decay)
        begin, before = time.monotonic(), self.progress.minutes
        losses: list[float] = []
        while (scale := clock.scale((time.monotonic() - begin) / 60, self.progress.step)) > 0:
            losses.append(self.step(scale))
            spent = (time.monotonic() - begin) / 60
            self.progress.minutes = before + spent
            if self.progress.step % CHECK_STEPS == 0:
                scores = check(self.model, self.encoder, self.progress.stage, self.args.device)
                self.log(
                    loss=round(sum(losses) / len(losses), 4),
                    scale=round(scale, 3),
                    per_second=round(
                        self.args.batch
                        * len(losses)
                        / 60
                        / max(1e-9, spent - getattr(self, "_spent", 0.0))
                    ),
                    **scores,
                )
                self._spent, losses = spent, []
                self.advance(scores, may_open=spent < clock.minutes - clock.decay)
                self.save()
            if (self.folder / "finish").exists() and clock.minutes - spent > decay:
                (self.folder / "finish").unlink()
                clock = Clock(spent + decay, decay)
        self.log(**check(self.model, self.encoder, self.progress.stage, self.args.device))
        self.save()
        export(self.model, self.fast, self.folder / "model")


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--minutes", type=float, default=75.0, help="wall time of this call")
    cli.add_argument("--decay-minutes", type=float, help="time over which the rate falls to zero")
    cli.add_argument("--run", type=Path, default=Path("runs/demo_model"), help="its folder")
    cli.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    cli.add_argument("--stage", type=int, help="start at this stage instead of the saved one")
    cli.add_argument("--batch", type=int, help="tokens per step (4096 on a CPU, 65536 on a GPU)")
    cli.add_argument("--muon-lr", type=float, default=MUON_LR)
    cli.add_argument("--adam-lr", type=float, default=ADAM_LR)
    cli.add_argument("--threads", type=int, default=1, help="CPU threads")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--compile", action="store_true")
    args = cli.parse_args()
    args.batch = args.batch or (65536 if args.device == "cuda" else 4096)
    torch.set_num_threads(args.threads)
    Run(args).train()


if __name__ == "__main__":
    main()
