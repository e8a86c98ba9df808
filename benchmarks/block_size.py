"""What is computed again because a server's prefix cache knows whole blocks only.

The four programs of `sglang_frontend` on a real vLLM server with a roomy cache, with blocks of 32
and 128 tokens (the least and the default of its CPU build), several rows at once. A branch that
leaves a shared prefix in the middle of a block computes that block's beginning again:

    lost     prompt tokens that a cache with blocks of one token would have found and this one did
             not; `lost_%` of what it would have found
    counted  what the server itself says that it found, over what we expect of blocks of that size
    limit    seconds if no block were ever cut: `seconds` less the lost tokens at the rate at which
             this server reads a prompt (measured beside it)

Blocks of 1 and 16 tokens (SGLang's, and vLLM's with a GPU) are counted from the same prompts and
not timed. The ratio PROGRAM is the seconds with blocks of 128 over those with blocks of 32, and
PROGRAM_limit those with blocks of 32 over their limit: what padding could gain at best if there
were a text that changes no answer.

Needs vLLM's environment (`make test-vllm` makes it; RAMIFY_VLLM_PYTHON names another interpreter).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from statistics import median
from typing import Any

from benchmarks.frontends import ours, workload
from benchmarks.frontends.model import wordy_model
from benchmarks.frontends.replay import Called, Recorded, Recording
from benchmarks.frontends.settings import ROOMY, Case
from benchmarks.harness import Options, Report
from benchmarks.peers.serving import vllm_server
from benchmarks.serving import SHAPE, interpreter
from ramify.backend import Request, TokenPrompt, collect
from ramify.backend.mirror import block_names
from ramify.ir import Sampling
from ramify.runtime import run_sync

SERVED = (32, 128)  # tokens of a block
COUNTED = (1, 16, *SERVED)
CACHE = 65_536  # tokens
LONG = 1_600  # tokens of a prompt that is timed
_RUNS = count()


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where vLLM is not installed."""
    python, folder = interpreter(), wordy_model(replace(SHAPE, seed=3))
    found: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    seconds: dict[tuple[str, int], float] = {}
    for block in SERVED:
        blocks = CACHE // block
        with vllm_server(
            python, folder, max_model_len=2048, block_size=block, num_gpu_blocks_override=blocks
        ) as server:
            backend = Recorded.open(f"{folder}@{server.url}", connections=96)
            assert isinstance(backend, Recorded)
            rate = run_sync(_rate(backend))
            for case in ROOMY[0].cases:
                row = _case(backend, case, block, rate, options)
                found.append(row)
                print(row, file=sys.stderr)
                seconds[case.program, block] = row["seconds"]
                if block == min(SERVED):
                    found += [_lost(backend, case, size) for size in COUNTED if size not in SERVED]
                    ratios[f"{case.program}_limit"] = row["seconds"] / row["limit"]
            run_sync(backend.close())
    for case in ROOMY[0].cases:
        ratios[case.program] = seconds[case.program, 128] / seconds[case.program, 32]
    return Report("block_size", found, ratios)


def _case(
    backend: Recorded, case: Case, block: int, rate: float, options: Options
) -> dict[str, Any]:
    """A program, some times over, each time with prompts that the server has not seen."""
    took = []
    for turn in range(1 + (options.repeats or 5)):
        rows = getattr(workload, case.make)(
            f"{next(_RUNS):04d}", case.quick if options.quick else case.rows
        )
        backend.recording = Recording()
        begun = time.perf_counter()
        results = getattr(ours, case.program).run_batch(rows, backend=backend)
        assert not results.failed, results.failed
        if turn:  # the first one warms
            took.append(time.perf_counter() - begun)
    row = _lost(backend, case, block)
    counted = sum(call.cached for call in backend.recording.calls)
    return row | {
        "counted": counted / row["found"],
        "seconds": median(took),
        "spread": max(took) / min(took),
        "limit": median(took) - row["lost"] * rate,
    }


def _lost(backend: Recorded, case: Case, block: int) -> dict[str, Any]:
    """What blocks of a size find of the calls, beside blocks of one token."""
    calls = backend.recording.calls
    best, here = _found(calls, 1), _found(calls, block)
    return {
        "program": case.program,
        "block": block,
        "prompt tokens": sum(len(call.prompt) for call in calls),
        "found": here,
        "lost": best - here,
        "lost_%": 100 * (best - here) / best,
    }


def _found(calls: Sequence[Called], block: int) -> int:
    """Prompt tokens that a roomy cache finds: whole blocks that an earlier call has read or
    written, never a prompt's last token."""
    known: set[int] = set()
    found = 0
    for call in sorted(calls, key=lambda call: len(call.prompt)):
        names = block_names(call.prompt[:-1], block=block)
        have = next((i for i, name in enumerate(names) if name not in known), len(names))
        found += have * block
        known.update(block_names((*call.prompt, *call.answer)[:-1], block=block))
    return found


async def _rate(backend: Recorded) -> float:
    """Seconds of a prompt token, in a long prompt beside a short one."""
    took: dict[int, list[float]] = {32: [], LONG: []}
    backend.recording = Recording()
    for turn in range(6):
        for length, seconds in took.items():
            ids = tuple(300 + (turn * 7 + i * i) % 3000 for i in range(turn, turn + length))
            request = Request(
                prompt=TokenPrompt(ids), sampling=Sampling(max_tokens=1), stream=False
            )
            begun = time.perf_counter()
            await collect(backend.generate(request))
            seconds.append(time.perf_counter() - begun)
    return (min(took[LONG]) - min(took[32])) / (LONG - 32)
