"""The formulas of the limits."""

from __future__ import annotations

import pytest

from benchmarks.harness.models import LlamaShape
from benchmarks.roofline import Limits, decode_seconds, prefill_flops

SHAPE = LlamaShape()


def test_prefill_in_two_parts_is_the_same_work() -> None:
    whole = prefill_flops(SHAPE, 528)
    parts = prefill_flops(SHAPE, 512) + prefill_flops(SHAPE, 16, cached=512)
    assert whole == pytest.approx(parts)


def test_decode_reads_the_shared_prefix_once() -> None:
    memory_bound = Limits(bandwidth=1.0, flops=float("inf"))
    kv_token = 2 * 8 * 4 * 64 * 2  # keys and values, layers, KV heads, head size, bytes
    apart = decode_seconds(SHAPE, memory_bound, 0, [528] * 16)
    shared = decode_seconds(SHAPE, memory_bound, 512, [16] * 16)
    assert apart - shared == kv_token * 512 * 15


def test_decode_computes_the_same_either_way() -> None:
    compute_bound = Limits(bandwidth=float("inf"), flops=1.0)
    apart = decode_seconds(SHAPE, compute_bound, 0, [528] * 16)
    assert apart == decode_seconds(SHAPE, compute_bound, 512, [16] * 16)
