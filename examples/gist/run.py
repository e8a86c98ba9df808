"""A training run of a gist head: its steps, checks and checkpoints, whatever it learns from.

The model stays as it is; only the resampler learns: first its pointers where to point (`worth`),
then all of it, from answers over vectors. Measured, and written, is the running mean of the
weights.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ramify.backend.radix.gist.head import Facts, save_head
from ramify.backend.radix.gist.resampler import Resampler, Shape
from ramify.backend.radix.saved import digest_of

POINT_RATES, RATES = (0.02, 3e-3), (0.003, 1e-3)  # of Muon and of AdamW
WARMUP_STEPS, MEAN_STEPS = 20, 30


class Source(Protocol):
    """What a head learns from. The same step gives the same data."""

    def pointing(self, resampler: Resampler, step: int) -> Tensor:
        """How far the pointers are from where they should begin."""
        ...

    def answering(self, resampler: Resampler, step: int) -> Tensor:
        """The loss of answers to questions over vectors."""
        ...

    def check(self, resampler: Resampler) -> dict[str, float]:
        """Shares of exact answers over what is never trained on."""
        ...


@dataclass
class Progress:
    """Where a run is. Saved with every checkpoint."""

    step: int = 0
    minutes: float = 0.0
    best: float = -1.0  # mean of the shares of a check
    scores: dict[str, float] = field(default_factory=dict)  # of that check


@dataclass(frozen=True)
class Plan:
    """How long and how. Minutes are processor time of this call; the rate falls to zero over the
    second half of them. `pointing`: steps that teach pointers alone."""

    minutes: float
    ratios: tuple[float, ...]
    window: int = 256
    pointing: int = 200
    check: int = 100  # steps between checks
    seed: int = 1


def shape_of(model: PreTrainedModel) -> Shape:
    """A resampler for a model: it reads the embeddings and every layer, six of them at most."""
    layers = int(model.config.num_hidden_layers)
    count = min(layers, 6)
    taps = tuple(sorted({round(layers * at / count) for at in range(count + 1)}))
    return Shape(int(model.get_input_embeddings().weight.shape[1]), taps)


def optimizers(resampler: Resampler) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the places."""
    matrices, others = [], []
    for name, value in resampler.named_parameters():
        places = "_start" in name or "_end" in name
        (matrices if value.ndim == 2 and not places else others).append(value)
    return [
        torch.optim.Muon(matrices, lr=RATES[0], weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=RATES[1], betas=(0.9, 0.95), weight_decay=0.0),
    ]


class Run:
    """One run in a folder: state.pt (resumable), log.jsonl, and head.safetensors, the best."""

    def __init__(self, folder: Path, model: PreTrainedModel, source: Source, plan: Plan) -> None:
        """`model` is as it was loaded from a folder."""
        self.folder, self.source, self.plan = folder, source, plan
        self.digest = digest_of(Path(model.config._name_or_path))
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        self.resampler = Resampler(shape_of(model)).to(model.device)
        self.optimizers = optimizers(self.resampler)
        self.mean = copy.deepcopy(self.resampler).requires_grad_(False)
        self.progress = Progress()

    def resume(self) -> None:
        """Go on from the folder's checkpoint."""
        state: dict[str, Any] = torch.load(self.folder / "state.pt")
        self.resampler.load_state_dict(state["resampler"])
        self.mean.load_state_dict(state["mean"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Checkpoint, replacing the last one only when it is whole."""
        state = {
            "resampler": self.resampler.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": vars(self.progress),
        }
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").replace(self.folder / "state.pt")

    def step(self, scale: float) -> float:
        """One optimizer step at `scale` of the rates; returns the loss."""
        at = self.progress.step
        pointing = at < self.plan.pointing
        learn = self.source.pointing if pointing else self.source.answering
        loss = learn(self.resampler, at)
        loss.backward()  # type: ignore[no-untyped-call]
        rates = POINT_RATES if pointing else RATES
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.resampler.parameters(), strict=True):
                mean.lerp_(now, max(1 / MEAN_STEPS, 1 / self.progress.step))
        return float(loss.detach())

    def checked(self, **row: Any) -> None:
        """Measure, log, keep the best, save."""
        scores = self.source.check(self.mean)
        row = {"step": self.progress.step, "minutes": round(self.progress.minutes, 2), **row}
        line = json.dumps({**row, **scores})
        print(line, flush=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as out:
            out.write(line + "\n")
        mean = sum(scores.values()) / len(scores)
        if mean >= self.progress.best:
            self.progress.best, self.progress.scores = mean, scores
            said = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
            ratios = self.plan.ratios
            facts = Facts(self.digest, ratios, ratios[0], self.plan.window, f"exact: {said}")
            save_head(self.folder / "head.safetensors", self.mean, facts)
        self.save()

    def train(self) -> None:
        """Train until the minutes are over."""
        begin, before = time.process_time(), self.progress.minutes
        losses: list[float] = []
        while True:
            spent = (time.process_time() - begin) / 60
            left = (self.plan.minutes - spent) / (0.5 * self.plan.minutes)
            if left <= 0:
                break
            losses.append(self.step(min(1.0, left, (self.progress.step + 1) / WARMUP_STEPS)))
            self.progress.minutes = before + (time.process_time() - begin) / 60
            if self.progress.step % self.plan.check == 0:
                self.checked(loss=round(sum(losses) / len(losses), 4), left=round(left, 2))
                losses = []
        self.checked()
