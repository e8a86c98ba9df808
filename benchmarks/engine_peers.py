"""The embedded engine against vLLM, llama.cpp and transformers on a CPU, workload by workload.

Random weights of SmolLM2-135M's shape in bfloat16, greedy, end tokens ignored, every run on a cold
cache, all engines in turns. vLLM and llama.cpp run in environments of their own (`make
bench-peers`) and are asked over pipes; settings are tried first, workload by workload, and each
engine's best one is measured. An engine that is far behind in the trial is not measured again:
its row says "tried". One that is very far behind is not tried at its other settings, and one whose
trials have taken their time is tried no more: its rows say so.

The ratio of a workload is the best peer's seconds over ours, medians. `limit_2048x16` is the share
of the machine's limit that decoding 16 branches of 2,048 tokens reaches, over one half;
`overhead_16` is a tenth over the part of a decode step of 16 sequences that is not the model's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Options, Report, Timing, interleave
from benchmarks.harness.machine import threads
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.harness.timing import nothing
from benchmarks.peers import huggingface
from benchmarks.peers.engine import Engine
from benchmarks.peers.ours import Ramify
from benchmarks.peers.overhead import overhead
from benchmarks.peers.remote import NoPeerError, Remote
from benchmarks.peers.workloads import PREFILL_ONLY, TABLE, Workload
from benchmarks.roofline import Limits, calibrate, decode_seconds
from benchmarks.shared_prefix import note

SHAPE = LlamaShape(
    layers=30, hidden=576, heads=9, kv_heads=3, intermediate=1536, vocab=49152, context=4096
)
POOL = 16_384  # tokens of KV: a little more than the largest workload needs
BEHIND = 1.5  # times the best peer's seconds, from which on one trial is enough
FAR_BEHIND = 3.0  # from which on the engine's other settings are not tried on this workload
TRIALS = 150.0  # seconds that an engine's trials may take over all workloads
LLAMA_CPP = [{"ubatch": rows, "flash": flash} for rows in (512, 2048) for flash in (1, 0)]
VLLM = [{"leader_first": order} for order in (True, False)]
ALL = tuple(workload.name for workload in TABLE)
FORKS = ("shared_512x16", "shared_2048x16", "skeleton", "tree")  # where the leader matters
# transformers without a cache between stages, or with a dense mask of all by all, takes minutes on
# the others
HF = {
    "hf generate": ("shared_512x16", "unrelated_16", "single_stream", "prefill_2048"),
    "hf continuous batching": ("shared_512x16", "unrelated_16"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine at one setting."""

    engine: str
    setting: str
    prepare: Callable[[Workload], Any]
    run: Callable[[Workload], Any]
    finish: Callable[[], None]
    only: tuple[str, ...]  # the workloads that it is tried on

    def contender(self, workload: Workload) -> Contender:
        return Contender(
            f"{self.engine}: {self.setting}",
            lambda: self.run(workload),
            lambda: self.prepare(workload),
            self.finish,
        )


def here(engine: Engine, vocab: int) -> Entry:
    """An engine in this process."""

    def prepare(work: Workload) -> None:
        engine.prepare([[0] * work.longest] * work.sequences, 1)

    return Entry(
        engine.name, engine.setting, prepare, lambda work: work.run(engine.run, vocab),
        engine.finish, HF.get(engine.name, ALL),
    )  # fmt: skip


def there(peer: Remote, name: str, settings: Mapping[str, Any]) -> Entry:
    """A peer in its own process."""
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
    only = FORKS if settings.get("leader_first") is False else ALL
    return Entry(
        name, words, lambda _: peer.prepare(settings), lambda work: peer.run(work.name), nothing,
        only,
    )


def open_peers(
    folder: Path, threads: int, *, quick: bool
) -> tuple[list[Remote], list[Entry], dict[str, str]]:
    """The peers of other environments, their settings, and their versions or why they are not
    there."""
    arguments = {"folder": str(folder), "vocab": SHAPE.vocab, "context": SHAPE.context}
    cache = str(folder.parent / "vllm")
    peers, entries, versions = [], [], {}
    for name, module, extra, settings in (
        ("vllm", "vllm_peer", {"cache": cache}, VLLM),
        ("llama", "llama_cpp_peer", {}, LLAMA_CPP[:1] if quick else LLAMA_CPP),
    ):
        try:
            peer = Remote(name, module, threads=threads, **arguments, **extra)
        except NoPeerError as error:
            note(str(error))
            versions[name] = str(error)
            continue
        peers.append(peer)
        label = {"vllm": "vllm", "llama": "llama.cpp"}[name]
        versions[label] = peer.version
        entries += [there(peer, label, setting) for setting in settings]
    return peers, entries, versions


Best = dict[str, tuple[float, Entry]]  # of each engine: seconds at its best setting


@dataclass(slots=True)
class Trials:
    """Which settings of the peers are worth measuring, and the seconds spent on finding out."""

    entries: list[Entry]  # the engines expected to be fastest first
    spent: dict[str, float] = field(default_factory=dict)

    def best(self, workload: Workload) -> Best:
        """The engines at their best settings on this workload."""
        best: Best = {}
        for entry in self.entries:
            if workload.name not in entry.only or self.over(entry.engine):
                continue
            least = min((seconds for seconds, _ in best.values()), default=math.inf)
            if entry.engine in best and best[entry.engine][0] > FAR_BEHIND * least:
                continue
            found = self._seconds(entry, workload)
            if found < FAR_BEHIND * least:
                found = min(found, self._seconds(entry, workload))
            note(f"{workload.name}: {entry.engine}, {entry.setting}: {found:.3f} s")
            if entry.engine not in best or found < best[entry.engine][0]:
                best[entry.engine] = (found, entry)
        return best

    def over(self, engine: str) -> bool:
        """Has this engine had the time for its trials? The fastest one always has some left."""
        return engine != self.entries[0].engine and self.spent.get(engine, 0.0) > TRIALS

    def left_out(self, workload: Workload, best: Best) -> list[Mapping[str, Any]]:
        """Rows of the engines that this workload was not tried on for want of time."""
        engines = {entry.engine for entry in self.entries if workload.name in entry.only}
        return [
            {
                "workload": workload.name, "engine": engine,
                "setting": f"not tried: its trials had taken {self.spent[engine]:.0f} s",
            }
            for engine in sorted(engines - best.keys())
        ]  # fmt: skip

    def _seconds(self, entry: Entry, workload: Workload) -> float:
        (timing,) = interleave([entry.contender(workload)], 1, warmups=0).values()
        self.spent[entry.engine] = self.spent.get(entry.engine, 0.0) + timing.best
        return timing.best


def measure(
    workload: Workload, ours: Entry, trials: Trials, repeats: int, warmups: int
) -> tuple[list[Mapping[str, Any]], Timing, float]:
    """The rows of a workload, our timing, and the best peer's median."""
    best = trials.best(workload)
    least = min(seconds for seconds, _ in best.values())
    near = [entry for seconds, entry in best.values() if seconds < BEHIND * least]
    contenders = {entry.engine: entry.contender(workload) for entry in (ours, *near)}
    timings = interleave(list(contenders.values()), repeats, warmups=warmups)
    by_engine = {engine: timings[each.name] for engine, each in contenders.items()}
    rows: list[Mapping[str, Any]] = []
    for engine, timing in by_engine.items():
        setting = ours.setting if engine == ours.engine else best[engine][1].setting
        rows.append(
            {
                "workload": workload.name, "engine": engine, "setting": setting,
                "best_s": timing.best, "median_s": timing.median, "spread": timing.spread,
                "tok_s": workload.tokens / timing.median,
            }
        )  # fmt: skip
    rows += [
        {"workload": workload.name, "engine": engine, "setting": f"tried: {e.setting}", "best_s": s}
        for engine, (s, e) in best.items()
        if engine not in by_engine
    ]
    rows += trials.left_out(workload, best)
    note(f"{workload.name}: " + ", ".join(f"{e} {t.median:.3f} s" for e, t in by_engine.items()))
    mine = by_engine.pop(ours.engine)
    return rows, mine, min(timing.median for timing in by_engine.values())


def decode_share(limits: Limits, whole: Timing, prefill: Timing) -> dict[str, float]:
    """How near to the machine's limit a decode step of 16 branches of 2,048 comes."""
    steps = 31  # of 32 tokens the first comes out of the prefill
    seconds = (whole.median - prefill.median) / steps
    limit = sum(
        decode_seconds(SHAPE, limits, 2048, [16 + done] * 16) for done in range(1, steps + 1)
    )
    return {"step_s": seconds, "limit_s": limit / steps, "share": limit / steps / seconds}


def run(options: Options) -> Report:
    """Measure every workload of the table."""
    import torch

    count = threads()
    torch.set_num_threads(count)
    folder = random_llama(SHAPE)
    limits = calibrate(SHAPE.dtype)
    repeats = options.repeats or (5 if options.quick else 7)
    remotes, entries, versions = open_peers(folder, count, quick=options.quick)
    hf = huggingface.engines(huggingface.load(folder, SHAPE.dtype), quick=True)
    entries += [here(engine, SHAPE.vocab) for engine in few(hf)]
    engine = Ramify(folder, SHAPE.dtype, pool_tokens=POOL)
    ours = here(engine, SHAPE.vocab)
    trials = Trials(entries)
    rows: list[Mapping[str, Any]] = []
    ratios: dict[str, float] = {}
    timings = {}
    for workload in TABLE:
        found, timings[workload.name], peer = measure(
            workload, ours, trials, repeats, warmups=0 if options.quick else 1
        )
        rows += found
        ratios[workload.name] = peer / timings[workload.name].median
    (prefill,) = interleave([ours.contender(PREFILL_ONLY)], repeats).values()
    decode = decode_share(limits, timings["shared_2048x16"], prefill)
    rows.append({"workload": "decode step of shared_2048x16", "engine": ours.engine, **decode})
    ratios["limit_2048x16"] = decode["share"] / 0.5
    for remote in remotes:
        remote.close()
    outside = overhead(folder, SHAPE, count)
    rows.append({"workload": "decode step of 16", "engine": ours.engine, **outside})
    ratios["overhead_16"] = 0.1 / outside["outside"]
    engine.close()
    machine = {
        "torch_threads": count,
        "bandwidth_gb_s": limits.bandwidth / 1e9,
        "gflop_s": limits.flops / 1e9,
        **versions,
    }
    return Report("engine_peers", rows, ratios, machine)


def few(engines: list[Engine]) -> list[Engine]:
    """Of transformers' settings the plain batch and one of continuous batching: all of them are
    far behind here, see `shared_prefix` for the others."""
    kinds: dict[str, Engine] = {}
    for engine in engines:
        if not isinstance(engine, huggingface.GenerateFromPrefix):
            kinds.setdefault(engine.name, engine)
    return list(kinds.values())
