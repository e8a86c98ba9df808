"""Train the demo model: `python -m examples.demo_world.train [--device cuda] [--minutes 75]`.

Muon for the matrices, AdamW for embeddings and norms; stages open on accuracy, never on time.
The learning rate is constant, then falls to zero over the last 40 % of the minutes. Minutes are
processor time of this call, so that a pause or a busy machine changes nothing. Everything is
seeded; `--resume` goes on from the last checkpoint. A file named `finish` in the run's folder
starts the fall at once, over `--decay-minutes`. Measured, and exported, is the running mean of the
weights: at a high rate it answers much better than the weights of any one step. The export is the
best mean measured in the last stage reached.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.demo_world import tokenizer
from examples.demo_world.batches import dev_batch, training_batches
from examples.demo_world.kernels import compile_all
from examples.demo_world.lean import Lean
from examples.demo_world.model import answers_loss, build, export
from examples.demo_world.probes import Probes
from examples.demo_world.stages import STAGES, Stage
from examples.demo_world.tokenizer import Encoder

MUON_LR, ADAM_LR = 0.02, 2e-3
WARMUP_STEPS, CHECK_STEPS, DEV_TOKENS = 100, 100, 8192
MEAN_STEPS = 100  # the running mean of the weights looks back about this many steps


@dataclass
class Progress:
    """Where a run is. Saved with every checkpoint."""

    step: int = 0
    stage: int = 0
    tokens: int = 0
    minutes: float = 0.0
    best: list[float] = field(default_factory=lambda: [-1.0, -1.0])  # stage and mean of its checks


@dataclass(frozen=True)
class Clock:
    """The learning rate's schedule in minutes of this call."""

    minutes: float
    decay: float

    def scale(self, spent: float, step: int) -> float:
        """Factor on the learning rates after `spent` minutes; 0 when the time is up."""
        left = (self.minutes - spent) / max(self.decay, 1e-9)
        return max(0.0, min(1.0, left, (step + 1) / WARMUP_STEPS))


def optimizers(model: LlamaForCausalLM, probes: Probes) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest."""
    matrices = [p for n, p in model.named_parameters() if "layers." in n and p.ndim == 2]
    others = [p for n, p in model.named_parameters() if "layers." not in n or p.ndim < 2]
    others += probes.parameters()
    return [
        torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def check(lean: Lean, encoder: Encoder, stage: Stage, device: str) -> dict[str, float]:
    """Exact answers over dev towns, for each kind of the stage."""
    scores = {}
    for kind in stage.kinds:
        _, _, exact = answers_loss(lean, dev_batch(encoder, kind, DEV_TOKENS).to(device))
        scores[kind.name] = round(exact.float().mean().item(), 3)
    return scores


class Run:
    """One training run in a folder: state.pt (resumable), log.jsonl, and the exported model."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fast = self._tokenizer()
        self.encoder = Encoder(self.fast)
        self.model, self.probes = (one.to(args.device) for one in build(args.seed, self.fast))
        if args.weights is not None:
            exported = LlamaForCausalLM.from_pretrained(args.weights, dtype=torch.float32)
            self.model.load_state_dict(exported.state_dict())
        self.optimizers = optimizers(self.model, self.probes)
        self.mean = copy.deepcopy(self.model).requires_grad_(False)
        self.progress = Progress()
        self.read = 0.0  # sum of the probes' losses since the last check
        if args.resume:
            self._load()
        if args.stage is not None:
            self.progress.stage = args.stage
            self.progress.best = Progress().best
        self.lean, self.mean_lean = Lean(self.model), Lean(self.mean)
        if args.compile:
            compile_all()

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        if self.args.weights is not None:
            fast = AutoTokenizer.from_pretrained(self.args.weights)
            tokenizer.save(fast, self.folder)
            return fast
        if (self.folder / "tokenizer.json").is_file():
            return AutoTokenizer.from_pretrained(self.folder)
        fast = tokenizer.build(self.args.seed)
        tokenizer.save(fast, self.folder)
        return fast

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.folder / "state.pt", map_location=self.args.device)
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        self.probes.load_state_dict(state["probes"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Checkpoint, replacing the last one only when it is whole."""
        state = {
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "probes": self.probes.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": vars(self.progress),
        }
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").replace(self.folder / "state.pt")

    def log(self, **row: Any) -> None:
        """One line of JSON to the screen and to log.jsonl."""
        row = {
            "step": self.progress.step,
            "stage": self.stage.name,
            "tokens": self.progress.tokens,
            "minutes": round(self.progress.minutes, 2),
            **row,
        }
        print(json.dumps(row), flush=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    @property
    def stage(self) -> Stage:
        """The stage that the run is in."""
        return STAGES[self.progress.stage]

    def step(self, scale: float) -> float:
        """One optimizer step; returns the loss."""
        batches = training_batches(
            self.encoder, self.args.seed, self.progress.step, self.stage, self.args.batch
        )
        total = 0.0
        for batch in batches:
            batch = batch.to(self.args.device)
            taps: list[torch.Tensor] = []
            losses, weight, _ = answers_loss(self.lean, batch, taps)
            loss = losses / weight / len(batches)
            read = self.probes(taps, batch) / len(batches)
            (loss + read).backward()  # type: ignore[no-untyped-call]
            self.read += float(read.detach())
            total += float(loss.detach())
            self.progress.tokens += batch.ids.numel()
        rates = (self.args.muon_lr, self.args.adam_lr)
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale * self.stage.rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.average()
        return total

    @torch.no_grad()
    def average(self) -> None:
        """Move the running mean of the weights towards the weights."""
        for mean, now in zip(self.mean.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now, max(1 / MEAN_STEPS, 1 / self.progress.step))

    def keep_best(self, scores: dict[str, float]) -> None:
        """Remember the weights if nothing better was measured in this stage or a later one."""
        reached = [float(self.progress.stage), sum(scores.values()) / len(scores)]
        if reached >= self.progress.best:
            self.progress.best = reached
            torch.save(self.mean.state_dict(), self.folder / "best.tmp")
            (self.folder / "best.tmp").replace(self.folder / "best.pt")

    def advance(self, scores: dict[str, float], may_open: bool) -> None:
        """Open the next stage if this one's gates are reached."""
        reached = all(scores[name] >= gate for name, gate in self.stage.gates.items())
        if may_open and reached and self.progress.stage + 1 < len(STAGES):
            self.progress.stage += 1

    def checked(self, may_open: bool, **row: Any) -> None:
        """Measure, log, keep, perhaps open the next stage, save."""
        scores = check(self.mean_lean, self.encoder, self.stage, self.args.device)
        self.log(**row, **scores)
        self.keep_best(scores)
        self.advance(scores, may_open)
        self.save()

    def train(self) -> None:
        """Train until the minutes are over, then export."""
        decay = self.args.decay_minutes or 0.4 * self.args.minutes
        clock = Clock(self.args.minutes, decay)
        begin, before = time.process_time(), self.progress.minutes
        losses: list[float] = []
        last = (self.progress.tokens, 0.0)
        while (scale := clock.scale((time.process_time() - begin) / 60, self.progress.step)) > 0:
            losses.append(self.step(scale))
            spent = (time.process_time() - begin) / 60
            self.progress.minutes = before + spent
            if self.progress.step % CHECK_STEPS == 0:
                speed = (self.progress.tokens - last[0]) / 60 / max(1e-9, spent - last[1])
                last = (self.progress.tokens, spent)
                self.checked(
                    spent < clock.minutes - clock.decay,
                    loss=round(sum(losses) / len(losses), 4),
                    probes=round(self.read / len(losses), 4),
                    scale=round(scale, 3),
                    per_second=round(speed),
                )
                losses, self.read = [], 0.0
            if (self.folder / "finish").exists() and clock.minutes - spent > decay:
                (self.folder / "finish").unlink()
                clock = Clock(spent + decay, decay)
        self.checked(False)
        best = torch.load(self.folder / "best.pt", map_location=self.args.device)
        self.mean.load_state_dict(best)
        export(self.mean, self.fast, self.folder / "model")


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--minutes", type=float, default=75.0, help="processor time of this call")
    cli.add_argument("--decay-minutes", type=float, help="time over which the rate falls to zero")
    cli.add_argument("--run", type=Path, default=Path("runs/demo_model"), help="its folder")
    cli.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    cli.add_argument("--weights", type=Path, help="start from an exported model, not from the seed")
    cli.add_argument("--stage", type=int, help="start at this stage instead of the saved one")
    cli.add_argument("--batch", type=int, help="tokens per step (4096 on a CPU, 65536 on a GPU)")
    cli.add_argument("--muon-lr", type=float, default=MUON_LR)
    cli.add_argument("--adam-lr", type=float, default=ADAM_LR)
    cli.add_argument("--threads", type=int, default=1, help="CPU threads")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=shutil.which("g++") is not None,
        help="compiled kernels: a third faster on a CPU",
    )  # fmt: skip
    args = cli.parse_args()
    args.batch = args.batch or (65536 if args.device == "cuda" else 4096)
    torch.set_num_threads(args.threads)
    Run(args).train()


if __name__ == "__main__":
    main()
