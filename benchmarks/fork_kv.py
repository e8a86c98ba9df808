"""The most KV that an answer with forks holds, with its children freed early and without.

Random weights in fp32, greedy; the token that is to fork is the one that the model says most often
anyway, so forks come where it says it. A prompt of 256 tokens, paths of 768, one level of children,
four sequences in a step: children that have ended are gone before the last ones begin. Counted, not
timed: slots in use by the request, and what they would have been had every branch held its KV until
the request's end.

`fork_peak_kv`: the peak without early release over the peak with it, the prompt not counted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Options, Report
from benchmarks.harness.models import LlamaShape, random_llama
from ramify.backend.collect import collect
from ramify.backend.contract import ForkRule, Request, TokenPrompt
from ramify.ir import Sampling
from ramify.runtime.loop import run_sync

PROMPT, PATH, CHILDREN, BATCH = 256, 768, 16, 4


async def _measured(backend: Any, prompt: TokenPrompt, sampling: Sampling) -> Mapping[str, Any]:
    plain = await collect(backend.generate(Request(prompt=prompt, sampling=sampling)))
    said = Counter(plain.ids)
    fork = min(said, key=lambda token: (-said[token], token))
    child = next(token for token in range(1, 500) if token not in said)
    rule = ForkRule(fork=fork, child=child, max_depth=1, max_branches=CHILDREN)
    branches: Counter[tuple[int, ...]] = Counter()
    request = Request(prompt=prompt, sampling=sampling, fork=rule)
    async for delta in backend.generate(request):
        branches[delta.branch.path] += len(delta.ids)
    found = await backend.snapshot()
    return {
        "branches": len(branches),
        "tokens written": sum(branches.values()),
        "peak slots, early release": found.peak_live,
        "peak slots, none": found.peak_unfreed,
    }


def run(options: Options, shape: LlamaShape | None = None) -> Report:
    """Count; another shape is for trying the benchmark itself."""
    from ramify.backend.radix import RadixBackend

    shape = shape or LlamaShape(vocab=512, dtype="float32")
    chance = random.Random(0)
    prompt = TokenPrompt(tuple(chance.randrange(shape.vocab - 1) for _ in range(PROMPT)))
    sampling = Sampling(max_tokens=PATH, ignore_end=True)
    backend = RadixBackend.open(
        str(random_llama(shape)), dtype=shape.dtype, max_batch=BATCH, pool_tokens=16384
    )
    row = run_sync(_measured(backend, prompt, sampling))
    run_sync(backend.close())
    live, unfreed = row["peak slots, early release"], row["peak slots, none"]
    if row["branches"] < 2:
        raise RuntimeError("the answer did not fork, so that there is nothing to compare.")
    return Report("fork_kv", [row], {"fork_peak_kv": (unfreed - PROMPT) / (live - PROMPT)})
