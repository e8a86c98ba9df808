"""The host tier: what comes back is what went out, and the answers do not know the difference."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from ramify.backend.collect import collect
from ramify.backend.contract import Request, TokenPrompt
from ramify.backend.radix import RadixBackend
from ramify.backend.radix.host import HostTier
from ramify.backend.radix.pool import KVPool
from ramify.errors import BackendError
from ramify.ir.sampling import Sampling
from tests.backend.radix.harness import engine_for, generation, greedy, run
from tests.backend.radix.models import VOCAB, tiny


def prompts(seed: int, count: int) -> list[tuple[int, ...]]:
    """Prompts of 40 to 70 tokens; each second one goes on where the one before it ends."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, ...]] = []
    for i in range(count):
        before = found[-1][:40] if i % 2 else ()
        found.append(before + tuple(rng.integers(3, VOCAB, 70 - len(before)).tolist()))
    return found


@pytest.mark.parametrize(("family", "host"), [("llama", 2000), ("llama", 90)])
def test_answers_with_a_tiny_pool_and_a_host_tier_are_those_of_generate(
    family: str, host: int
) -> None:
    engine = engine_for(family, slots=130, host=host, budget=64, max_batch=3)
    rnd = random.Random(host)
    asked = prompts(1, 6)
    for _ in range(2):
        rnd.shuffle(asked)
        jobs = [generation(ids, 20) for ids in asked]
        for job in jobs:
            engine.submit(job)
            engine.step()
        run(engine, check=True)
        assert [j.sink.ids for j in jobs] == [greedy(family, ids, 20) for ids in asked]
    tier = engine.scheduler.cache.host
    assert tier is not None and tier.stored > 0 and engine.scheduler.cache.tree.evicted > 0
    if host == 2000:
        assert tier.loaded > 150 and tier.slots.used <= 6 * 90
    engine.scheduler.cache.clear()
    engine.check()
    assert engine.scheduler.cache.slots.used == tier.slots.used == 0


def test_what_the_host_tier_has_is_not_computed_again() -> None:
    engine = engine_for("llama", slots=80, host=1000)
    first, other = prompts(2, 3)[::2]
    for ids in (first, other, first):
        job = generation(ids, 2)
        engine.submit(job)
        run(engine, check=True)
        assert job.sink.ids == greedy("llama", ids, 2)
    assert job.sink.items[-1].usage.cached_tokens == len(first) - 1
    now = engine.snapshot()
    assert now.host_loaded > 40 and now.host_used >= len(first) and now.hits == len(first) - 1


def test_a_preempted_answer_goes_on_from_the_host_tier() -> None:
    """Without the tier, what was evicted is computed again: more rows for the same answers."""
    rows = {}
    for host in (0, 2000):
        engine = engine_for("llama", slots=190, host=host, max_batch=4)
        jobs = [generation(ids, 60) for ids in prompts(3, 4)]
        for job in jobs:
            engine.submit(job)
        run(engine, check=True)
        assert engine.scheduler.preempted > 0
        assert [j.sink.ids for j in jobs] == [greedy("llama", p, 60) for p in prompts(3, 4)]
        rows[host] = engine.metrics.rows
    assert rows[2000] < rows[0]


def test_the_tier_is_bounded_and_keeps_what_fits() -> None:
    moved = []
    tier = HostTier(10, out=lambda a, b: moved.append(len(a)), back=lambda a, b: None)
    tier.store("", 0, np.arange(8), np.arange(8))
    tier.store("", 0, np.arange(100, 106), np.arange(8, 14))  # pushes the end of the first out
    tier.check()
    assert moved == [8, 6] and tier.slots.free == 0
    tier.store("", 0, np.arange(200, 230), np.arange(30))  # more than there is room for
    tier.check()
    assert moved[2:] == [10] and tier.tree.lookup("", np.arange(200, 230)) == 10
    assert tier.load("", 0, np.arange(8), 0, np.arange(8)) == 0


def test_a_copy_between_pools_takes_every_layer_and_no_other_slot() -> None:
    cpu = torch.device("cpu")
    here, there = KVPool(6, cpu), KVPool(9, cpu)
    for layer, heads in enumerate((2, 1)):
        for pool in (here, there):
            fill = torch.randn(pool.slots, heads, 4)
            pool.write(layer, torch.arange(pool.slots), fill, -fill)
    before = [pair[0].clone() for pair in there._layers.values()]
    here.copy_to(there, np.array([5, 0]), np.array([2, 7]))
    for layer in range(2):
        keys, values = there._layers[layer]
        assert (keys[[2, 7]] == here._layers[layer][0][[5, 0]]).all()
        assert (values[[2, 7]] == here._layers[layer][1][[5, 0]]).all()
        others = [0, 1, 3, 4, 5, 6, 8]
        assert (keys[others] == before[layer][others]).all()
    assert here.slot_bytes == 2 * (2 + 1) * 4 * 4  # all layers, though their shapes differ


async def test_a_backend_counts_what_the_tier_gives_back() -> None:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=100, host_bytes=1 << 20, threads=1)
    asked = [
        Request(prompt=TokenPrompt(ids), sampling=Sampling(max_tokens=4, ignore_end=True))
        for ids in prompts(4, 3)[::2]
    ]
    for request in (*asked, asked[0]):
        found = await collect(opened.generate(request))
        assert found.ids == greedy("llama", request.prompt.ids, 4)
    assert found.usage.cached_tokens == 69
    now = await opened.snapshot()
    assert now.host_slots == (1 << 20) // 512 and 0 < now.host_loaded <= now.host_stored
    await opened.clear_cache()
    now = await opened.snapshot()
    assert now.host_used == now.used == 0
    await opened.close()


def test_a_tier_that_could_hold_nothing_is_refused_with_sizes() -> None:
    with pytest.raises(BackendError, match=r"host_bytes=100 .* one token of 512 bytes"):
        RadixBackend.open(tiny("llama"), pool_tokens=100, host_bytes=100)
    with pytest.raises(BackendError, match="without a cache"):
        RadixBackend.open(tiny("llama"), pool_tokens=100, host_bytes=1000, cache=False)
