"""What Ramify costs in front of vLLM, in one process and over HTTP; siblings that arrive together.

Needs vLLM's environment (`make test-vllm` makes it; RAMIFY_VLLM_PYTHON names another interpreter).
Rows of one call each, greedy, the same token ids for all contenders, prefix caches warm. Ratios are
medians over pairs of runs (see `benchmarks.harness.pairs`):

    in_process   run_batch on `vllm:`  against  LLM.generate over all prompts at once
    http         run_batch on `openai:`  against  a bare asyncio client with as many connections
    PART_low     the least that the true median is, at 95 %, and `equals` of the row beside it what
    PART_high    neighbouring runs of one contender give: a ratio within its range is none
    siblings     computed prompt tokens of 16 siblings: 1.1 of one plus the suffixes, over measured
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, MissingDataError, Options, Report, Timing
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.harness.pairs import Pairs, in_pairs
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
Rows = list[dict[str, str]]


def interpreter() -> Path:
    """The interpreter that has vLLM. Raises MissingDataError where there is none."""
    path = Path(os.environ.get("RAMIFY_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
    if not path.exists():
        raise MissingDataError(f"{path} is not there: make test-vllm makes it")
    return path


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where vLLM is not installed."""
    python, folder = interpreter(), random_llama(SHAPE)
    count, rounds = (200, 8) if options.quick else (500, 30)
    rounds = options.repeats or rounds
    rows = [{"question": f"what did ship {i} bring in the year {i * 7}"} for i in range(count)]
    with vllm_server(python, folder) as server:
        backend = OpenAIBackend.open(f"{folder}@{server.url}", connections=AT_ONCE)
        assert backend.capabilities.token_prompts, backend.why_text
        prompts = [list(_rendered(backend, row)) for row in rows]
        http = _http(backend, server.url, rows, prompts, rounds)
        siblings = run_sync(_siblings(backend))
        run_sync(backend.close())
    inside = _in_process(python, folder, rows, prompts, rounds)
    found: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for part, pairs in {"http": http, "in_process": inside}.items():
        names = ("asyncio client" if part == "http" else "LLM.generate", "ramify")
        for name, timing in zip(names, (pairs.theirs, pairs.ours), strict=True):
            found.append(_row(part, name, count, timing) | {"equals": str(pairs.equals)})
        ratio = pairs.ratio
        ratios |= {part: ratio.value, f"{part}_low": ratio.low, f"{part}_high": ratio.high}
    ratios["siblings"] = 1.1 * siblings["least"] / siblings["computed"]
    return Report("serving", [*found, siblings], ratios)


def _http(
    backend: OpenAIBackend, url: str, rows: Rows, prompts: list[list[int]], rounds: int
) -> Pairs:
    """A bare client, and us, in front of one server."""

    def through_us() -> int:
        results = answer.run_batch(rows, backend=backend, concurrency=AT_ONCE)
        assert not results.failed, results.failed
        return results.usage.output_tokens

    model = backend.server.model
    bare = Contender("theirs", lambda: raw_client(url, model, prompts, AT_ONCE))
    return in_pairs(bare, Contender("ours", through_us), rounds)


def _in_process(
    python: Path, folder: Path, rows: Rows, prompts: list[list[int]], rounds: int
) -> Pairs:
    """vLLM's own class, and us, each in a process that holds an engine."""
    apart = partial(
        Apart, python, "vllm_batch", SETTINGS, tokens=TOKENS, folder=str(folder)
    )  # fmt: skip
    with apart(kind="straight", prompts=prompts) as straight, apart(kind="ours", rows=rows) as ours:
        contenders = [
            Contender(
                name,
                run=lambda peer=peer: peer.ask(do="run")["tokens"],  # type: ignore[misc]
                prepare=lambda peer=peer: peer.ask(do="prepare"),  # type: ignore[misc]
            )
            for name, peer in (("theirs", straight), ("ours", ours))
        ]
        return in_pairs(*contenders, rounds)


def _rendered(backend: OpenAIBackend, row: dict[str, str]) -> tuple[int, ...]:
    """The token ids of a row's prompt, as they travel."""
    plan = answer.compile(backend=backend, **row)
    node = next(iter(plan.graph.nodes.values()))
    rendering = backend.renderer.rendering(None)  # type: ignore[arg-type]
    return rendering.render(node.prompt).ids  # type: ignore[attr-defined]


def _row(part: str, name: str, rows: int, timing: Timing) -> dict[str, Any]:
    return {
        "part": part,
        "contender": name,
        "rows": rows,
        "seconds": timing.median,
        "spread": timing.spread,
        "tokens": timing.result,
        "tokens/s": timing.result / timing.median,
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
