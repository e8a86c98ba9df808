"""Decoding many branches of one prefix: the embedded engine against Hugging Face transformers.

A prefix of 512 tokens, 16 branches of 16 own tokens each, 32 new tokens per branch, on a Llama of
28 million random weights in bf16. All branches are submitted at once to a cold cache; the time
runs from submission to the last token of the last branch. Every engine gets the same weights and
the same token ids, and every peer the best of its settings, which a trial in the same process
finds first.

Ratios are the peer's seconds over ours, medians of interleaved runs. `hf_generate_prefix_by_hand`
is `generate` with a prefix that the caller computed and repeated by hand.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Options, Report, Timing, interleave
from benchmarks.harness.machine import threads
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.peers import huggingface
from benchmarks.peers.engine import Engine, Prompts
from benchmarks.peers.ours import Ramify
from benchmarks.roofline import Limits, calibrate, decode_seconds, prefill_flops

RATIOS = {
    "hf_generate": "hf generate",
    "hf_continuous_batching": "hf continuous batching",
    "hf_generate_prefix_by_hand": "hf generate, prefix by hand",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Branches of one prefix; all numbers are tokens but `branches`."""

    prefix: int = 512
    branches: int = 16
    suffix: int = 16
    new: int = 32

    def prompts(self, vocab: int, seed: int = 0) -> Prompts:
        """Random ids; no two branches begin alike, and the end token is not among them."""
        chance = random.Random(seed)
        shared = [chance.randrange(vocab - 1) for _ in range(self.prefix)]
        starts = chance.sample(range(vocab - 1), self.branches)
        return [
            [*shared, start, *(chance.randrange(vocab - 1) for _ in range(self.suffix - 1))]
            for start in starts
        ]

    def limit(self, shape: LlamaShape, limits: Limits) -> float:
        """The least seconds that this machine could need: the prefix computed and read once."""
        work = prefill_flops(shape, self.prefix)
        work += self.branches * prefill_flops(shape, self.suffix, self.prefix)
        steps = (
            decode_seconds(shape, limits, self.prefix, [self.suffix + done] * self.branches)
            for done in range(1, self.new)  # the first token comes out of the prefill
        )
        return work / limits.flops + sum(steps)


SMALL_SHAPE = LlamaShape(layers=4, hidden=256, intermediate=704, dtype="float32")
SMALL = Workload(prefix=64, suffix=8, new=16)


def note(text: str) -> None:
    """Progress, for whoever waits at the terminal."""
    print(text, file=sys.stderr, flush=True)


def try_settings(
    engines: Sequence[Engine], prompts: Prompts, count: int
) -> tuple[list[Engine], list[Mapping[str, Any]]]:
    """Each setting twice after a warm-up: the faster one of each name, and what was tried."""
    best: dict[str, tuple[float, Engine]] = {}
    rows: list[Mapping[str, Any]] = []
    for engine in engines:
        contender = engine.contender(prompts, count)
        seconds = interleave([contender], 2)[contender.name].best
        note(f"tried {contender.name}: {seconds:.2f} s")
        rows.append(
            {"engine": engine.name, "setting": f"tried: {engine.setting}", "best_s": seconds}
        )
        if engine.name not in best or seconds < best[engine.name][0]:
            best[engine.name] = (seconds, engine)
    return [engine for _, engine in best.values()], rows


def row(engine: Engine, timing: Timing, work: Workload, limit: float) -> Mapping[str, Any]:
    """The measured line of one engine."""
    prompt_tokens = work.branches * (work.prefix + work.suffix)
    return {
        "engine": engine.name,
        "setting": engine.setting,
        "best_s": timing.best,
        "median_s": timing.median,
        "spread": timing.spread,
        "tok_s": work.branches * work.new / timing.median,
        "computed": prompt_tokens - engine.cached,
        "cached": engine.cached,
        "limit_%": 100 * limit / timing.median,
    }


def agreement() -> list[Mapping[str, Any]]:
    """How many branches have the very same tokens as `generate`, in fp32 on a small case."""
    folder = random_llama(SMALL_SHAPE)
    prompts = SMALL.prompts(SMALL_SHAPE.vocab)
    model = huggingface.load(folder, "float32")
    expected = huggingface.Generate(model, "dynamic cache").run(prompts, SMALL.new)
    rows: list[Mapping[str, Any]] = []
    for engine in (
        Ramify(folder, "float32"),
        huggingface.GenerateFromPrefix(model),
        huggingface.ContinuousBatching(model, 16, 256, False),
    ):
        engine.prepare(prompts, SMALL.new)
        found = engine.run(prompts, SMALL.new)
        engine.close()
        equal = sum(ours == theirs for ours, theirs in zip(found, expected, strict=True))
        setting = f"fp32, small: {equal} of {len(prompts)} as hf generate"
        rows.append({"engine": engine.name, "setting": setting})
    return rows


def measure(
    shape: LlamaShape, work: Workload, options: Options
) -> tuple[list[Mapping[str, Any]], dict[str, float], Limits]:
    """The rows and ratios of one workload."""
    folder = random_llama(shape)
    prompts = work.prompts(shape.vocab)
    limits = calibrate(shape.dtype)
    model = huggingface.load(folder, shape.dtype)
    peers, tried = try_settings(huggingface.engines(model, quick=options.quick), prompts, work.new)
    engines = [Ramify(folder, shape.dtype), *peers]
    contenders = {engine.name: engine.contender(prompts, work.new) for engine in engines}
    repeats = options.repeats or (5 if options.quick else 9)
    note(f"measuring {len(engines)} engines in turns, {repeats} times")
    timings = interleave(list(contenders.values()), repeats)
    found = {name: timings[contender.name] for name, contender in contenders.items()}
    limit = work.limit(shape, limits)
    rows = [row(engine, found[engine.name], work, limit) for engine in engines]
    for engine in engines:
        engine.close()
    ours = found["ramify"].median
    return rows + tried, {key: found[name].median / ours for key, name in RATIOS.items()}, limits


def run(options: Options, shape: LlamaShape | None = None, work: Workload | None = None) -> Report:
    """Measure; another shape and workload are for trying the benchmark itself."""
    import torch

    torch.set_num_threads(threads())
    rows, ratios, limits = measure(shape or LlamaShape(), work or Workload(), options)
    machine = {
        "torch_threads": torch.get_num_threads(),
        "bandwidth_gb_s": limits.bandwidth / 1e9,
        "gflop_s": limits.flops / 1e9,
    }
    return Report("shared_prefix", [*rows, *agreement()], ratios, machine)
