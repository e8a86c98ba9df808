"""Int8 weights beside bfloat16 ones: speed and memory.

Random weights of two shapes, that of SmolLM2-135M, whose layers are small, and one with
layers of 2,048 by 8,192 as models of a billion parameters have them. Decoding runs 1, 8 and 16
short prompts for 16 new tokens; prefill computes 512 tokens. Each is run with the compiled
kernels and with torch's operators alone, in turns. Ratios are seconds of bfloat16 over seconds of
int8, and bytes over bytes, with the compiled kernels where the machine has a compiler.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Options, Report, interleave
from benchmarks.harness.machine import cores
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.peers.engine import Prompts
from benchmarks.peers.ours import Ramify

SHAPES = {
    "135M": LlamaShape(
        layers=30, hidden=576, heads=9, kv_heads=3, intermediate=1536, vocab=49152, spread=0.05
    ),
    "wide": LlamaShape(
        layers=4, hidden=2048, heads=32, kv_heads=8, intermediate=8192, vocab=4096, spread=0.02
    ),
}
NEW, PREFILL = 16, 512


def engines(folder: Path) -> list[Ramify]:
    """Every way to run a model, on all cores."""
    found = []
    for kernels, native in (("compiled", True), ("torch", False)):
        for weights, quantize in (("bf16", "none"), ("int8", "int8")):
            options = {"quantize": quantize, "native": native, "draft": "off", "pool_tokens": 4096}
            made = Ramify(folder, "bfloat16", f"{weights}, {kernels}", threads=cores(), **options)
            found.append(made)
    return found


def workloads(vocab: int) -> dict[str, tuple[Prompts, int]]:
    """Prompts and new tokens by name."""

    def prompts(count: int, length: int) -> Prompts:
        return [[(7919 * i + 31 * j + 11) % (vocab - 1) for j in range(length)]
                for i in range(count)]  # fmt: skip

    decode = {f"decode_{batch}": (prompts(batch, 4), NEW) for batch in (1, 8, 16)}
    return {**decode, "prefill": (prompts(1, PREFILL), 1)}


def speed(
    name: str, shape: LlamaShape, repeats: int
) -> tuple[list[Mapping[str, Any]], dict[str, float]]:
    """Rows and ratios of one shape."""
    made = engines(random_llama(shape))
    rows: list[dict[str, Any]] = [
        {"model": name, "weights": engine.setting, "weights_mb": engine.weight_bytes / 1e6}
        for engine in made
    ]
    ratios = {f"{name}_memory": rows[0]["weights_mb"] / rows[1]["weights_mb"]}
    for work, (prompts, count) in workloads(shape.vocab).items():
        times = interleave([engine.contender(prompts, count) for engine in made], repeats)
        tokens = PREFILL if work == "prefill" else NEW
        for row, timing in zip(rows, times.values(), strict=True):
            row[f"{work}_ms"] = 1000 * timing.median / (1 if work == "prefill" else tokens)
        ratios[f"{name}_{work}"] = rows[0][f"{work}_ms"] / rows[1][f"{work}_ms"]
        found = {row["weights"]: round(row[f"{work}_ms"], 2) for row in rows}
        print(f"{name} {work}, ms: {found}", file=sys.stderr, flush=True)
    for engine in made:
        engine.close()
    return list(rows), ratios


def run(options: Options) -> Report:
    """Measure both shapes; the short form, the small one."""
    rows: list[Mapping[str, Any]] = []
    ratios: dict[str, float] = {}
    for name, shape in list(SHAPES.items())[: 1 if options.quick else None]:
        found, better = speed(name, shape, options.repeats or 5)
        rows += found
        ratios |= better
    return Report("quantized", rows, ratios)
