"""The numbers of the cost model, measured on this machine with the real engine."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from ramify.backend.contract import Request, TokenPrompt
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.jobs import Generation, Warming
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.scheduler import Scheduler
from ramify.backend.stream import TextStream
from ramify.ir.sampling import Sampling

BATCHES = (1, 4, 16, 64)
STEPS = 8
PREFILL = 256


class _NoText:
    """A tokenizer whose tokens have no text."""

    name, vocab_size, start_ids = "none", 0, ()
    end_ids: frozenset[int] = frozenset()

    def bytes_of(self, token: int) -> bytes:
        return b""


def measure(engine: Engine) -> dict[str, Any]:
    """Seconds per prefilled token and per decode step by batch size, as a `Profile` has them.

    A scheduler and a pool of its own keep the cache as it is; each number is the best of several.
    """
    vocab = engine.model.body.vocab
    context = engine.model.context
    length = min(PREFILL, context - STEPS - 1)
    largest = engine.scheduler.max_batch
    batches = sorted({min(batch, largest) for batch in BATCHES})
    slots = length + largest * (STEPS + 40)
    model = engine.model.over(KVPool(slots, engine.model.device))
    trial = Engine(model, Scheduler(Cache(slots), max_batch=largest, budget=length + largest))
    ids = tuple((np.arange(length) * 7919 % vocab).tolist())
    prefill = []
    for _ in range(3):
        trial.submit(Warming(TokenPrompt(ids), "", 0.0, lambda _: None))
        prefill.append(_seconds(trial)[0])
        trial.scheduler.cache.tree.clear()
    steps = [(batch, _decode_seconds(trial, ids, batch)) for batch in batches]
    return {"prefill_s": min(prefill) / length, "decode_s": tuple(steps)}


def _decode_seconds(trial: Engine, ids: tuple[int, ...], batch: int) -> float:
    for first in range(batch):
        prompt = TokenPrompt((*ids[:-1], first))
        request = Request(prompt=prompt, sampling=Sampling(max_tokens=STEPS, ignore_end=True))
        text = TextStream(_NoText())  # type: ignore[arg-type]
        trial.submit(
            Generation(request, lambda _: None, text, room=STEPS, seed=0, end_ids=frozenset())
        )
    return min(_seconds(trial)[1:])


def _seconds(trial: Engine) -> list[float]:
    times = []
    while trial.busy:
        begun = perf_counter()
        trial.step()
        times.append(perf_counter() - begun)
    return times
