"""What a decode step costs outside of the model: scheduler, layout, sampler, streams."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.models import LlamaShape

BATCH, PROMPT, STEPS = 16, 128, 48


class _NoText:
    """A tokenizer whose tokens have no text."""

    name, vocab_size, start_ids = "none", 0, ()
    end_ids: frozenset[int] = frozenset()

    def bytes_of(self, token: int) -> bytes:
        return b""


def overhead(folder: Path, shape: LlamaShape, threads: int) -> dict[str, float]:
    """Median seconds of a decode step of 16 sequences, and the part that is outside the model."""
    from ramify.backend.contract import Request, TokenPrompt
    from ramify.backend.radix.jobs import Generation
    from ramify.backend.radix.options import RadixOptions
    from ramify.backend.radix.setup import assemble
    from ramify.backend.stream import TextStream
    from ramify.ir.sampling import Sampling

    options = RadixOptions(dtype=shape.dtype, pool_tokens=8192, threads=threads)
    engine = assemble(folder, options).engine
    body, inside = engine.model.body, [0.0]

    def timed(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            found = function(*arguments)
            inside[0] += time.perf_counter() - started
            return found

        return call

    for name in ("logits", "largest"):
        if hasattr(body, name):
            setattr(body, name, timed(getattr(body, name)))
    chance = random.Random(0)
    common = [chance.randrange(shape.vocab - 1) for _ in range(PROMPT)]
    for i in range(BATCH):
        request = Request(
            prompt=TokenPrompt((*common, i)), sampling=Sampling(max_tokens=STEPS, ignore_end=True)
        )
        text = TextStream(_NoText())  # type: ignore[arg-type]
        engine.submit(
            Generation(request, lambda _: None, text, room=STEPS, seed=0, end_ids=frozenset())
        )
    engine.step()
    whole, parts = [], []
    while engine.busy:
        inside[0] = 0.0
        started = time.perf_counter()
        engine.step()
        whole.append(time.perf_counter() - started)
        parts.append(1 - inside[0] / whole[-1])
    return {"step_s": statistics.median(whole), "outside": statistics.median(parts)}
