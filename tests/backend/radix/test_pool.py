"""The pool's memory: where it lies, and what is there before the first request."""

from __future__ import annotations

import pytest
import torch

from ramify.backend.radix.options import RadixOptions
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.setup import assemble
from ramify.errors import BackendError
from tests.backend.radix.harness import CPU, need_compiler
from tests.backend.radix.models import tiny

SHAPE = (3, 64)


def test_large_layers_begin_with_a_large_page() -> None:
    pool = KVPool(20_000, CPU)
    for tensor in pool.layer(0, SHAPE, (3, 32), torch.bfloat16):
        assert tensor.data_ptr() % (2 << 20) == 0
        assert tensor.is_contiguous() and len(tensor) == 20_000
        tensor.fill_(1)
    keys, values = pool.layer(0, SHAPE, (3, 32), torch.bfloat16)
    assert keys.shape == (20_000, 3, 64) and values.shape == (20_000, 3, 32)
    assert pool.slot_bytes == (3 * 64 + 3 * 32) * 2


def test_a_small_pool_is_not_made_larger() -> None:
    keys, _ = KVPool(7, CPU).layer(0, SHAPE, SHAPE, torch.float32)
    assert keys.untyped_storage().nbytes() == 7 * 3 * 64 * 4


def test_the_pool_is_laid_out_before_the_first_request() -> None:
    need_compiler()
    parts = assemble(tiny("llama"), RadixOptions(pool_tokens=100))
    pool = parts.engine.model.pool
    assert pool.layers == 0, "opening does not wait for it"
    parts.prepare()
    assert pool.layers == 2


def test_a_pool_that_no_memory_holds_is_refused_with_sizes() -> None:
    with pytest.raises(BackendError, match=r"a pool of 10+ tokens takes [\d.]+ GB") as caught:
        assemble(tiny("llama"), RadixOptions(pool_tokens=10**13))
    assert "smaller pool_tokens" in str(caught.value)
