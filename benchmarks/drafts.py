"""Drafts on and off: answers that copy from passages, and random text, where they must not lose.

The demo model answers questions over passages of the demo world (its answers copy names and
numbers from them), in float32: every request of the demo's program, one after another and all at
once. A Llama of 28 million random weights in bf16 says what nobody can guess: one stream of 128
tokens behind 256, and 16 of 64 behind 128. A new salt per run makes the cache cold and the text
unknown; what was measured of costs and acceptance stays, as it does in a process that lives on.

All settings run on one engine, whose drafter is changed between runs: two engines differ by
more than drafts do. "off again" is "off" once more: what they differ by is the noise.
`tokens_per_step` counts the tokens that one answer gains per step of the model. Ratios are the
seconds without drafts over those with (`auto`), medians of interleaved runs: `demo_*` above 1 is a
gain, `random_*` near 1 says that nothing is lost; `*_noise` is the same ratio for "off again", and
a loss no larger than its distance from 1 is none. In float32 the answers must be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Options, Report, interleave
from benchmarks.harness.models import LlamaShape, random_llama

SETTINGS = ("off", "off again", "auto", "8")


@dataclass(slots=True)
class Replay:
    """The same requests to a backend of one setting, in one order."""

    backend: Any
    drafter: Any  # None: off
    requests: Sequence[Any]
    together: bool
    runner: asyncio.Runner
    salts: Any = field(default_factory=count)
    spent: dict[str, int] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put the drafter into the engine."""
        put = self.backend._worker.call(lambda engine: setattr(engine, "drafter", self.drafter))
        put.result()

    def run(self) -> list[list[int]]:
        return self.runner.run(self._all())

    async def _all(self) -> list[list[int]]:
        from ramify.backend.collect import collect

        salt = f"{id(self)}/{next(self.salts)}"
        asked = [replace(request, salt=salt) for request in self.requests]
        before = await self.backend.snapshot()
        if self.together:
            found = await asyncio.gather(*(collect(self.backend.generate(r)) for r in asked))
        else:
            found = [await collect(self.backend.generate(r)) for r in asked]
        after = await self.backend.snapshot()
        for name in ("drafted", "accepted", "decoded"):
            self.spent[name] = getattr(after, name) - getattr(before, name)
        return [done.ids for done in found]


class _Recorder:
    """A backend that notes the requests it is asked."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.requests: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def generate(self, request: Any) -> AsyncIterator[Any]:
        self.requests.append(request)
        found: AsyncIterator[Any] = self._backend.generate(request)
        return found


def demo_requests(backend: Any, questions: int) -> list[Any]:
    """What the demo's plain program asks for so many questions."""
    import ramify as rf
    from ramify.demo.program import describe_plainly
    from ramify.demo.world import load_questions, load_towns

    recorder: Any = _Recorder(backend)
    towns = rf.Index.of(
        [{"id": town.id, "title": town.title, "text": town.text} for town in load_towns()],
        chunker="document",
    )
    wanted = [question for question in load_questions() if question.kind == "description"]
    for question in wanted[:questions]:
        describe_plainly.run(question.question, towns, backend=recorder)
    return [replace(request, label="") for request in recorder.requests]


def random_requests(streams: int, prompt: int, new: int) -> list[Any]:
    """Prompts of random ids that share nothing."""
    import random

    from ramify.backend.contract import Request, TokenPrompt
    from ramify.ir.sampling import Sampling

    chance = random.Random(5)
    sampling = Sampling(max_tokens=new, ignore_end=True)
    return [
        Request(
            prompt=TokenPrompt(tuple(chance.randrange(4000) for _ in range(prompt))),
            sampling=sampling,
        )
        for _ in range(streams)
    ]


def measure(
    name: str, replays: dict[str, Replay], repeats: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The rows of one workload, and its ratios: seconds off over auto, and over off again."""
    contenders = [Contender(s, replay.run, replay.prepare) for s, replay in replays.items()]
    timings = interleave(contenders, repeats)
    rows = []
    for setting, timing in timings.items():
        spent = replays[setting].spent
        tokens = sum(map(len, timing.result))
        drafted, accepted = spent["drafted"], spent["accepted"]
        rows.append(
            {
                "workload": name, "draft": setting, "median_s": timing.median,
                "spread": timing.spread, "tok_s": tokens / timing.median,
                "tokens_per_step": tokens / max(1, tokens - accepted),
                "drafted": drafted, "accepted": accepted,
                "acceptance_%": 100 * accepted / drafted if drafted else None,
                "same_as_off": sum(
                    a == b for a, b in zip(timing.result, timings["off"].result, strict=True)
                ) / len(timing.result),
            }
        )  # fmt: skip
    off = timings["off"].median
    ratios = {name: off / timings["auto"].median}
    return rows, {**ratios, f"{name}_noise": off / timings["off again"].median}


def run(options: Options) -> Report:
    """Both models, one stream and many."""
    from ramify.backend.radix import RadixBackend
    from ramify.backend.radix.draft import Drafter
    from ramify.backend.radix.draft_cost import DraftPolicy
    from ramify.demo.world import model_path

    repeats = options.repeats or 5
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    shape = LlamaShape(layers=4, hidden=256, intermediate=704) if options.quick else LlamaShape()
    with asyncio.Runner() as runner:

        def opened(folder: Path, dtype: str) -> tuple[Any, dict[str, Any]]:
            policies = {"auto": DraftPolicy(), "8": DraftPolicy(fixed=8)}
            drafters = {s: Drafter(policies[s]) if s in policies else None for s in SETTINGS}
            backend = RadixBackend.open(folder, dtype=dtype, draft="off", pool_tokens=16384)
            return backend, drafters

        def workload(name: str, made: Any, requests: list[Any], together: bool) -> None:
            backend, drafters = made
            replays = {
                s: Replay(backend, drafter, requests, together, runner)
                for s, drafter in drafters.items()
            }
            found, measured = measure(name, replays, repeats)
            rows.extend(found)
            ratios.update(measured)

        demo = opened(model_path(), "float32")
        asked = demo_requests(demo[0], 2 if options.quick else 5)
        workload("demo_single", demo, asked[: len(asked) // 2 + 1], False)
        workload("demo_batch", demo, asked, True)
        random = opened(random_llama(shape), "bfloat16")
        workload("random_single", random, random_requests(1, 256, 128), False)
        workload("random_16", random, random_requests(16, 128, 64), True)
        for backend in (demo[0], random[0]):
            runner.run(backend.close())
    return Report("drafts", rows, ratios)
