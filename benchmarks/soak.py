"""Forks and cancels without end: no slot is lost and the memory does not grow.

The engine's cache and scheduler run under a stub in place of the model: requests of shared trunks
arrive, are forked while they run, cancelled, preempted, finished and evicted; then the whole engine
with a tiny real model does the same in small. Each ratio is what was done over what is asked for,
or budget over measured:

    million       forks and cancels under the stub, over 1,000,000
    rss           a growth of 16 MB of the resident memory after warming up, over what it grew
    rss_engine    the same for the slice with a real model
    slots         1 where every slot came back and every check held, else 0
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import Options, Report
from benchmarks.harness.models import LlamaShape, random_llama
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.host import HostTier
from ramify.backend.radix.scheduler import Scheduler
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.worth import WorthOrder

MILLION = 1_000_000
SECONDS, QUICK_SECONDS, SLICE = 120.0, 10.0, 0.15  # SLICE: share of it with the real model
SLOTS, HOST, TRUNKS = 2_400, 6_000, 200
KEPT = 16  # sequences, the best in rank, that run to their end: they push others out
GROWTH_MB = 16.0
TINY = LlamaShape(
    layers=2, hidden=64, heads=4, kv_heads=2, intermediate=128, vocab=512, context=512,
    dtype="float32",
)  # fmt: skip


@dataclass(eq=False)
class Ask:
    """A request of the stub."""

    priority: float
    salt: str
    left: int  # tokens to decode
    vectors: dict[int, Any] = field(default_factory=dict)


class Soak:
    """Random operations on cache and scheduler; the stub of a model always says a random token."""

    def __init__(self, seed: int) -> None:
        self.rnd = random.Random(seed)
        numbers = np.random.default_rng(seed)
        self.trunks = [numbers.integers(0, 30_000, n) for n in numbers.integers(20, 400, TRUNKS)]
        cache = Cache(SLOTS, order=WorthOrder(SLOTS))
        cache.attach(HostTier(HOST, out=lambda a, b: None, back=lambda a, b: None))
        self.scheduler = Scheduler(cache, max_batch=48, budget=2_048)
        self.done = {"forks": 0, "cancels": 0, "finished": 0, "steps": 0}

    def step(self) -> None:
        """Arrivals, forks and cancels, then a step of the stub."""
        rnd, scheduler = self.rnd, self.scheduler
        if len(scheduler.waiting) < 32:
            self._arrive()
        ready = [s for s in scheduler.running if s.ready]
        for parent in rnd.sample(ready, min(12, len(ready))):
            self._fork(parent)
        live = [*scheduler.running[KEPT:], *scheduler.waiting]
        for sequence in rnd.sample(live, max(0, len(live) - 48)):  # as many as came
            scheduler.remove(sequence, keep=rnd.random() < 0.8)
            self.done["cancels"] += 1
        chunks = scheduler.plan()
        scheduler.complete(chunks)
        for chunk in chunks:
            sequence = chunk.sequence
            if chunk.stop == sequence.length:
                self._token(sequence)
        self.done["steps"] += 1

    def _arrive(self) -> None:
        rnd = self.rnd
        trunk = rnd.choice(self.trunks)
        cut = rnd.randrange(1, len(trunk) + 1)
        more = [rnd.randrange(30_000) for _ in range(rnd.randrange(20))]
        tokens = np.concatenate((trunk[:cut], more)).astype(np.int64)
        left = rnd.choice((4, 16, 64, 256))
        ask = Ask(rnd.choice((0.0, 1.0, 2.0)), rnd.choice("ab"), left)
        size = len(tokens)
        self.scheduler.submit(
            Sequence.of(ask, tokens, limit=size + left, prompt=size, wanted=size - 1)
        )

    def _fork(self, parent: Sequence) -> None:
        self.scheduler.cache.share_tail(parent)
        job = parent.job
        assert isinstance(job, Ask)
        child = parent.fork(Ask(job.priority, job.salt, job.left))
        self.scheduler.submit(child)
        self.done["forks"] += 1

    def _token(self, sequence: Sequence) -> None:
        job = sequence.job
        assert isinstance(job, Ask)
        job.left -= 1
        if job.left <= 0 or sequence.length == sequence.limit:
            self.scheduler.remove(sequence)
            self.done["finished"] += 1
        else:
            sequence.append(self.rnd.randrange(30_000))

    def end(self) -> int:
        """Cancel everything, drop the cache; returns the slots that did not come back."""
        scheduler = self.scheduler
        scheduler.check()
        for sequence in [*scheduler.running, *scheduler.waiting]:
            scheduler.remove(sequence)
        cache = scheduler.cache
        cache.clear()
        cache.check([])
        assert cache.host is not None
        return cache.slots.used + cache.host.slots.used


def resident_mb() -> float:
    """Resident memory of this process."""
    import psutil

    found: int = psutil.Process().memory_info().rss
    return found / 1e6


def stub(seconds: float, operations: int) -> Mapping[str, Any]:
    """Until so many seconds have passed and so many forks and cancels were made."""
    soak = Soak(0)
    started = time.monotonic()
    warm = 0.0
    while True:
        for _ in range(100):
            soak.step()
        passed = time.monotonic() - started
        made = soak.done["forks"] + soak.done["cancels"]
        if not warm and (passed > seconds / 5 or made > operations / 5):
            warm = resident_mb()
        if passed >= seconds and made >= operations:
            break
        if soak.done["steps"] % 5_000 == 0:
            soak.scheduler.check()
    grown = resident_mb() - warm
    cache = soak.scheduler.cache
    counts = {"preempted": soak.scheduler.preempted, "evicted": cache.tree.evicted}
    return {
        "what": "cache and scheduler, stub model", "seconds": passed, **soak.done, **counts,
        "grown_mb": grown, "slots_lost": soak.end(), "limit_%": 100 * max(0.0, grown) / GROWTH_MB,
    }  # fmt: skip


async def engine(seconds: float) -> Mapping[str, Any]:
    """The same through the backend's contract, with a tiny real model."""
    from ramify.backend.contract import Request, TokenPrompt
    from ramify.backend.radix import RadixBackend
    from ramify.ir.sampling import Sampling

    rnd = random.Random(1)
    backend = RadixBackend.open(
        random_llama(TINY), pool_tokens=2_000, host_bytes=1 << 20, threads=1
    )
    trunks = [tuple(rnd.randrange(500) for _ in range(rnd.randrange(20, 200))) for _ in range(20)]
    done = {"forks": 0, "cancels": 0, "finished": 0}

    async def one() -> None:
        trunk = rnd.choice(trunks)
        prompt = TokenPrompt((*trunk[: rnd.randrange(1, len(trunk))], rnd.randrange(500)))
        request = Request(prompt=prompt, sampling=Sampling(max_tokens=20, ignore_end=True))
        leave = rnd.choice((1, 3, 100))
        stream = backend.generate(request)
        seen = 0
        try:
            async for delta in stream:
                seen += 1
                if delta.finish is not None:
                    done["finished"] += 1
                elif seen >= leave:
                    done["cancels"] += 1
                    break
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    started = time.monotonic()
    warm = 0.0
    while (passed := time.monotonic() - started) < seconds:
        if not warm and passed > seconds / 3:
            warm = resident_mb()
        async with asyncio.TaskGroup() as group:
            for _ in range(24):
                done["forks"] += 1  # branches of a trunk
                group.create_task(one())
    grown = resident_mb() - (warm or resident_mb())
    await backend.clear_cache()
    now = await backend.snapshot()
    await backend.close()
    lost = now.used + now.host_used + now.running + now.waiting
    return {
        "what": "engine, tiny model", "seconds": passed, **done, "steps": now.steps,
        "preempted": now.preempted, "evicted": now.evicted, "grown_mb": grown,
        "slots_lost": lost, "limit_%": 100 * max(0.0, grown) / GROWTH_MB,
    }  # fmt: skip


def run(options: Options) -> Report:
    """Two minutes and a million operations, or ten seconds."""
    seconds = QUICK_SECONDS if options.quick else SECONDS
    first = stub(seconds * (1 - SLICE), 0 if options.quick else MILLION)
    second = asyncio.run(engine(seconds * SLICE))
    lost = first["slots_lost"] + second["slots_lost"]
    ratios = {
        "million": (first["forks"] + first["cancels"]) / MILLION,
        "rss": GROWTH_MB / max(0.1, first["grown_mb"]),
        "rss_engine": GROWTH_MB / max(0.1, second["grown_mb"]),
        "slots": 1.0 if lost == 0 else 0.0,
    }
    if options.quick:
        del ratios["million"]  # ten seconds are too short for it
    return Report("soak", [first, second], ratios)
