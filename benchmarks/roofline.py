"""The limits of this machine: memory bandwidth and matrix products, and what they allow.

Formulas for a decoder of `w` bytes of weights and `kv` bytes of cache per token; BW in bytes/s, F
in FLOP/s:

    decode step   max((w + kv * tokens read) / BW, FLOP / F)
    prefill       FLOP / F
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.harness import Options, Report
from benchmarks.harness.models import LlamaShape


@dataclass(frozen=True, slots=True)
class Limits:
    """Measured on this machine with the threads that torch now uses."""

    bandwidth: float  # bytes read per second
    flops: float  # floating-point operations per second, in the dtype asked for


def best_of(work: Callable[[], Any], seconds: float) -> float:
    """The fastest of as many runs as fit into `seconds`, at least three."""
    work()
    best, runs, end = float("inf"), 0, time.perf_counter() + seconds
    while runs < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
        runs += 1
    return best


@cache
def calibrate(dtype: str = "bfloat16", *, seconds: float = 1.0) -> Limits:
    """Bandwidth by copying 256 MB, operations by a 1536 x 1536 product; about 2 x `seconds`."""
    import torch

    kind = getattr(torch, dtype)
    source = torch.ones(64 * 1024 * 1024)
    target = torch.empty_like(source)
    copied = 2 * source.numel() * source.element_size()
    bandwidth = copied / best_of(lambda: target.copy_(source), seconds)
    side = 1536
    left, right = torch.ones(side, side, dtype=kind), torch.ones(side, side, dtype=kind)
    with torch.inference_mode():
        flops = 2 * side**3 / best_of(lambda: left @ right, seconds)
    return Limits(bandwidth, flops)


def item_bytes(dtype: str) -> int:
    return {"bfloat16": 2, "float16": 2, "float32": 4}[dtype]


def prefill_flops(shape: LlamaShape, new: int, cached: int = 0) -> float:
    """Operations to compute `new` prompt tokens after `cached` ones."""
    attention = 4 * shape.layers * shape.heads * shape.head_dim * (new * cached + new**2 / 2)
    return 2 * shape.matmul_parameters * new + attention


def decode_seconds(shape: LlamaShape, limits: Limits, shared: int, own: list[int]) -> float:
    """The least time of one step: a batch of len(own) sequences over one shared prefix.

    The weights and the shared prefix's cache are read once, each sequence's own part once.
    """
    size = item_bytes(shape.dtype)
    kv_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * size
    moved = shape.matmul_parameters * size + kv_token * (shared + sum(own))
    seen = shared * len(own) + sum(own)
    work = 2 * shape.matmul_parameters * len(own)
    work += 4 * shape.layers * shape.heads * shape.head_dim * seen
    return max(moved / limits.bandwidth, work / limits.flops)


def run(options: Options) -> Report:
    """The machine's own numbers, by dtype."""
    seconds = 0.5 if options.quick else 2.0
    rows = []
    for dtype in ("float32", "bfloat16"):
        found = calibrate(dtype, seconds=seconds)
        rows.append(
            {
                "dtype": dtype,
                "copy_gb_s": found.bandwidth / 1e9,
                "matmul_gflop_s": found.flops / 1e9,
                "flop_per_byte": found.flops / found.bandwidth,
            }
        )
    return Report("roofline", rows, {})
