"""The first token after a join of branches: parallel blocks against computing the text again.

A prefix of 256 tokens, eight branches of 256 tokens behind it, joined, then 16 tokens that go on,
on random bf16 weights of the SmolLM2-135M shape. The branches were decoded before the clock starts:
their KV is there, but for each one's last token. The time runs from submission to the first token
behind the join.

Every contender keeps what it can: our text join and "prefix by hand" have the prefix and the first
branch, which a text join continues; the others of the text must be computed again. Plain `generate`
keeps nothing. `kv_join` is the fastest of those that compute again over ours, medians of
interleaved runs; `kv_join_repair_16` is the same with 16 tokens of each block computed again.

Agreement with the text join is reported for these weights, and for the demo model, which has
learned to read one passage and gets two: it says nothing of other models.
"""

from __future__ import annotations

import asyncio
import copy
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Options, Report, Timing, interleave
from benchmarks.harness.machine import threads
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.peers import huggingface

SHAPE = LlamaShape(
    layers=30, hidden=576, heads=9, kv_heads=3, intermediate=1536, vocab=49152, spread=0.05
)
OURS, TEXT = "ramify, kv join", "ramify, text join"


@dataclass(frozen=True, slots=True)
class Workload:
    """All numbers are tokens but `branches`."""

    prefix: int = 256
    branches: int = 8
    size: int = 256
    suffix: int = 16

    def parts(self, vocab: int, seed: int = 0) -> tuple[list[int], list[list[int]], list[int]]:
        """Random ids of the prefix, the branches and the suffix; no two branches begin alike."""
        chance = random.Random(seed)
        starts = chance.sample(range(vocab - 1), self.branches)

        def draw(size: int) -> list[int]:
            return [chance.randrange(vocab - 1) for _ in range(size)]

        blocks = [[start, *draw(self.size - 1)] for start in starts]
        return draw(self.prefix), blocks, draw(self.suffix)


class Joiner:
    """Our engine: branches in the cache, then one token behind their join."""

    def __init__(self, folder: Path, dtype: str, work: Workload, vocab: int) -> None:
        from ramify.backend.radix import RadixBackend

        self.loop = asyncio.Runner()
        self.backend = RadixBackend.open(str(folder), dtype=dtype, pool_tokens=16384)
        self.prefix, self.blocks, self.suffix = work.parts(vocab)
        self._salts = count()
        self._salt = ""
        self.computed: dict[str, int] = {}  # prompt tokens that the last run computed

    def prompt(self, *, parallel: bool, repair: int = 0) -> Any:
        from ramify.backend.contract import BlockSpan, TokenPrompt

        ids, spans = list(self.prefix), []
        for block in self.blocks:
            spans.append(BlockSpan(len(ids), len(ids) + len(block), 0, repair))
            ids += block
        return TokenPrompt((*ids, *self.suffix), tuple(spans) if parallel else ())

    def prepare(self) -> None:
        """The branches as they are when their last token has been drawn."""
        self._salt = f"run {next(self._salts)}"
        self.loop.run(self._branches())

    async def _branches(self) -> None:
        from ramify.backend.contract import TokenPrompt

        await self.backend.clear_cache()
        for block in self.blocks:
            ids = (*self.prefix, *block[:-1])
            await self.backend.prefill(TokenPrompt(ids), salt=self._salt)

    def contender(self, name: str, **options: Any) -> Contender:
        prompt = self.prompt(**options)

        def run() -> list[int]:
            found = self.loop.run(self.answer(prompt, 1))
            self.computed[name] = found.usage.computed_tokens
            ids: list[int] = found.ids
            return ids

        return Contender(name, run, self.prepare)

    async def answer(self, prompt: Any, tokens: int) -> Any:
        from ramify.backend.collect import collect

        return await collect(self.backend.generate(self.request(prompt, tokens)))

    def request(self, prompt: Any, tokens: int) -> Any:
        from ramify.backend.contract import Request
        from ramify.ir.sampling import Sampling

        sampling = Sampling(max_tokens=tokens, ignore_end=True)
        return Request(prompt=prompt, sampling=sampling, salt=self._salt)

    def close(self) -> None:
        self.loop.run(self.backend.close())
        self.loop.close()


def hf_contenders(model: Any, ids: list[int], kept: int) -> list[Contender]:
    """`generate` on everything, and behind a cache of the first `kept` tokens made by hand."""
    import torch
    from transformers import DynamicCache

    tokens = torch.tensor([ids])
    found: dict[str, Any] = {}

    def prepare() -> None:
        if "kept" not in found:
            cache = DynamicCache(config=model.config)
            with torch.inference_mode():
                model(tokens[:, :kept], past_key_values=cache, use_cache=True, logits_to_keep=1)
            found["kept"] = cache
        found["cache"] = copy.deepcopy(found["kept"])

    def generate(cache: Any = None) -> list[int]:
        extra = {} if cache is None else {"past_key_values": cache}
        with torch.inference_mode():
            out = model.generate(
                tokens, attention_mask=torch.ones_like(tokens),
                generation_config=huggingface.greedy(1), **extra,
            )  # fmt: skip
        new: list[int] = out[0, len(ids) :].tolist()
        return new

    return [
        Contender("hf generate", generate),
        Contender("hf generate, prefix by hand", lambda: generate(found["cache"]), prepare),
    ]


def agreement(joiner: Joiner, label: str, tokens: int) -> list[Mapping[str, Any]]:
    """How far answers behind blocks go with the text join, without repair and with."""
    from ramify.runtime.agreement import compare

    rows: list[Mapping[str, Any]] = []
    joiner.prepare()
    for repair in (0, 4, 16, 64):
        prompt = joiner.prompt(parallel=True, repair=repair)
        answer = joiner.loop.run(joiner.answer(prompt, tokens))
        request = joiner.request(prompt, tokens)
        found = joiner.loop.run(compare(joiner.backend, request, tuple(answer.ids)))
        rows.append(
            {"contender": f"agreement, {label}, repair {repair}",
             "equal tokens": f"{found.agree} of {found.tokens}", "kl first": found.kl}
        )  # fmt: skip
    return rows




def demo_agreement(questions: int) -> list[Mapping[str, Any]]:
    """The demo model answers questions about two passages, each a block, and the same as text."""
    import ramify as rf
    from ramify.demo.backend import open_demo
    from ramify.demo.requests import SYSTEM
    from ramify.demo.world import facts_right, load_questions, load_towns
    from ramify.runtime import run_sync

    @rf.program
    def ask(s: rf.State, question: str, towns: rf.Index, repair: int | None) -> Any:
        found = rf.retrieve(towns, question, k=2)
        s += rf.system(SYSTEM)
        s += rf.user(found if repair is None else rf.blocks(found, repair=repair))
        s += rf.user(question)
        s += rf.assistant(rf.gen("answer", max_tokens=24))
        return s["answer"]

    documents = [{"id": t.id, "title": t.title, "text": t.text} for t in load_towns()]
    towns = rf.Index.of(documents, chunker="document")
    asked = [q for q in load_questions() if q.kind == "single"][:questions]
    backend, policy = open_demo(), rf.Policy(compare_joins=True)
    rows: list[Mapping[str, Any]] = []
    for repair in (None, 0, 4, 16):
        results = [
            ask.run(q.question, towns, repair, backend=backend, policy=policy) for q in asked
        ]
        joins = [join for result in results for join in result.joins]
        right = sum(
            facts_right(result.text, q.facts) for result, q in zip(results, asked, strict=True)
        )
        equal = sum(join.agree == join.tokens for join in joins)
        how = "as text" if repair is None else f"repair {repair}"
        rows.append(
            {"contender": f"demo model, 2 passages, {how}",
             "equal tokens": f"{equal} of {len(joins)} answers" if joins else "",
             "facts right": f"{right} of {len(asked)}"}
        )  # fmt: skip
    run_sync(backend.close())
    return rows


def row(name: str, timing: Timing, computed: int | None) -> Mapping[str, Any]:
    return {
        "contender": name, "best_s": timing.best, "median_s": timing.median,
        "spread": timing.spread, "computed": computed,
    }  # fmt: skip


def run(options: Options, shape: LlamaShape = SHAPE, work: Workload | None = None) -> Report:
    """Measure; another shape and workload are for trying the benchmark itself."""
    import torch

    torch.set_num_threads(threads())
    work = work or Workload()
    folder = random_llama(shape)
    joiner = Joiner(folder, shape.dtype, work, shape.vocab)
    ids = list(joiner.prompt(parallel=False).ids)
    kept = work.prefix + work.size - 1
    contenders = [
        joiner.contender(OURS, parallel=True),
        joiner.contender(f"{OURS}, repair 16", parallel=True, repair=16),
        joiner.contender(TEXT, parallel=False),
        *hf_contenders(huggingface.load(folder, shape.dtype), ids, kept),
    ]
    repeats = options.repeats or (5 if options.quick else 9)
    print(f"measuring {len(contenders)} contenders {repeats} times", file=sys.stderr, flush=True)
    timings = interleave(contenders, repeats)
    computed = {**joiner.computed, "hf generate": len(ids), contenders[-1].name: len(ids) - kept}
    rows = [row(name, timing, computed[name]) for name, timing in timings.items()]
    again = min(timing.median for name, timing in timings.items() if not name.startswith(OURS))
    ratios = {
        "kv_join": again / timings[OURS].median,
        "kv_join_repair_16": again / timings[f"{OURS}, repair 16"].median,
    }
    rows += agreement(joiner, "random weights", 64)
    joiner.close()
    if shape is SHAPE:
        rows += demo_agreement(20 if options.quick else 100)
    return Report("kv_join", rows, ratios, {"torch_threads": torch.get_num_threads()})
