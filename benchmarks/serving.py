"""What Ramify costs in front of vLLM, in one process and over HTTP; siblings that arrive together.

Needs vLLM's environment (`make test-vllm` makes it; RAMIFY_VLLM_PYTHON names another interpreter).
Rows of one call each, greedy, the same token ids for all contenders, prefix caches warm:

    in_process   run_batch on `vllm:`  against  LLM.generate over all prompts at once
    http         run_batch on `openai:`  against  a bare asyncio client with as many connections
    siblings     computed prompt tokens of 16 siblings: 1.1 of one plus the suffixes, over measured
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Contender, MissingDataError, Options, Report, interleave
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.peers.apart import Apart
from benchmarks.peers.serving import SETTINGS, TOKENS, answer, raw_client, vllm_server
from ramify.backend import Request, TokenPrompt, collect
from ramify.backend.openai import OpenAIBackend
from ramify.ir import Sampling
from ramify.runtime import run_sync

ROOT = Path(__file__).parents[1]
AT_ONCE = 64
SHAPE = LlamaShape(
    layers=4, hidden=256, heads=8, kv_heads=4, intermediate=704, dtype="float32", context=2048
)


def interpreter() -> Path:
    """The interpreter that has vLLM. Raises MissingDataError where there is none."""
    path = Path(os.environ.get("RAMIFY_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
    if not path.exists():
        raise MissingDataError(f"{path} is not there: make test-vllm makes it")
    return path


def run(options: Options) -> Report:
    python = interpreter()
    folder = random_llama(SHAPE)
    count, repeats = (200, 5) if options.quick else (500, 5)
    repeats = options.repeats or repeats
    rows = [{"question": f"what did ship {i} bring in the year {i * 7}"} for i in range(count)]
    found: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    with vllm_server(python, folder) as url:
        backend = OpenAIBackend.open(f"{folder}@{url}", connections=AT_ONCE)
        assert backend.capabilities.token_prompts, backend.why_text
        prompts = [list(_rendered(backend, row)) for row in rows]

        def through_us() -> int:
            results = answer.run_batch(rows, backend=backend, concurrency=AT_ONCE)
            assert not results.failed, results.failed
            return results.usage.output_tokens

        timings = interleave(
            [
                Contender("asyncio client", lambda: raw_client(url, str(folder), prompts, AT_ONCE)),
                Contender("ramify", through_us),
            ],
            repeats,
        )
        for name, timing in timings.items():
            found.append(_row("http", name, count, list(timing.seconds), timing.result))
            print(found[-1], file=sys.stderr)
        ratios["http"] = timings["asyncio client"].median / timings["ramify"].median
        found.append(run_sync(_siblings(backend)))
        ratios["siblings"] = 1.1 * found[-1]["least"] / found[-1]["computed"]
        run_sync(backend.close())
    apart = partial(
        Apart, python, "vllm_batch", SETTINGS, tokens=TOKENS, folder=str(folder)
    )  # fmt: skip
    with apart(kind="straight", prompts=prompts) as straight, apart(kind="ours", rows=rows) as ours:
        seconds: dict[str, list[float]] = {"LLM.generate": [], "ramify": []}
        tokens = {}
        for turn in range(repeats + 1):  # the first one warms
            pair = [("LLM.generate", straight), ("ramify", ours)]
            for name, apart in pair if turn % 2 else reversed(pair):
                once = apart.ask()
                seconds[name].append(once["seconds"])
                tokens[name] = once["tokens"]
    for name, took in seconds.items():
        found.append(_row("in_process", name, count, took[1:], tokens[name]))
    ratios["in_process"] = median(seconds["LLM.generate"][1:]) / median(seconds["ramify"][1:])
    return Report("serving", found, ratios)


def _rendered(backend: OpenAIBackend, row: dict[str, str]) -> tuple[int, ...]:
    """The token ids of a row's prompt, as they travel."""
    plan = answer.compile(backend=backend, **row)
    node = next(iter(plan.graph.nodes.values()))
    rendering = backend.renderer.rendering(None)  # type: ignore[arg-type]
    return rendering.render(node.prompt).ids  # type: ignore[attr-defined]


def _row(part: str, name: str, rows: int, seconds: list[float], tokens: int) -> dict[str, Any]:
    took = median(seconds)
    return {
        "part": part,
        "contender": name,
        "rows": rows,
        "seconds": took,
        "spread": max(seconds) / min(seconds),
        "tokens": tokens,
        "tokens/s": tokens / took,
    }


async def _siblings(backend: OpenAIBackend) -> dict[str, Any]:
    """Sixteen prompts with 900 tokens in common, sent at the same moment."""
    common = backend.renderer.tokenizer.encode("quay " + "the harbour built by many men " * 80)[
        :900
    ]
    ends = [backend.renderer.tokenizer.encode(f" z{i}q") for i in range(16)]

    async def one(end: tuple[int, ...]) -> int:
        request = Request(
            prompt=TokenPrompt(common + end), sampling=Sampling(max_tokens=4), stream=False
        )
        return (await collect(backend.generate(request))).usage.computed_tokens

    computed = sum(await asyncio.gather(*map(one, ends)))
    least = len(common) + sum(map(len, ends))
    return {"part": "siblings", "contender": "ramify", "computed": computed, "least": least}
