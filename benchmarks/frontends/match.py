"""One program on one server, through both frontends in turns."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.frontends import ours, workload
from benchmarks.frontends.model import wordy_model
from benchmarks.frontends.replay import Recorded, Recording, replay
from benchmarks.frontends.settings import Case, Setting, Threads
from benchmarks.harness import Contender, MissingDataError, Options, Timing, interleave
from benchmarks.peers.apart import Apart
from benchmarks.peers.serving import vllm_server
from benchmarks.serving import ROOT, SHAPE, interpreter
from ramify.runtime import run_sync

COUNTS = {  # of the server, by our names
    "prompt tokens": "prompt_tokens_total",
    "cached": "prefix_cache_hits_total",
    "written": "generation_tokens_total",
    "preempted": "num_preemptions_total",
    "steps": "iteration_tokens_total_count",
}
ALONE = "the calls alone"
AGAIN = 3  # times that these are made
Row = dict[str, Any]


def play(
    settings: Sequence[Setting], options: Options, done: Callable[[Case, dict[str, float]], None]
) -> tuple[list[Row], dict[str, Any]]:
    """Play all cases; `done(case, median seconds by side)`. The rows of the report, and versions.

    Raises MissingDataError where an environment is missing.
    """
    python, sglang = interpreter(), _sglang()
    folder = wordy_model(replace(SHAPE, seed=3))
    found: list[Row] = []
    versions: dict[str, Any] = {}
    runs = count()
    for setting in settings:
        blocks = setting.blocks
        with vllm_server(python, folder, max_model_len=2048, num_gpu_blocks_override=blocks) as url:
            backend = Recorded.open(f"{folder}@{url}", connections=96)
            assert isinstance(backend, Recorded)
            with Apart(sglang, "sglang_peer", model=str(folder), url=url) as peer:
                for case in setting.cases:
                    rows = case.quick if options.quick else case.rows
                    match = _Match(case, rows, url, backend, peer, runs)
                    timings = match.play(options.repeats or 5)
                    for name, timing in timings.items():
                        found.append({"cache": 32 * blocks} | match.row(name, timing))
                        print(found[-1], file=sys.stderr)
                    done(case, {name: timing.median for name, timing in timings.items()})
                versions = {"sglang": peer.ready["version"], "vllm": _version(url)}
            run_sync(backend.close())
    return found, versions


@dataclass(slots=True)
class _Match:
    case: Case
    rows: int
    url: str
    backend: Recorded
    peer: Apart
    runs: count[int]
    spent: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # of each run

    def play(self, repeats: int) -> dict[str, Timing]:
        """Time everybody."""
        case = self.case
        sides: dict[str, Callable[[], Any]] = {"ramify": self.ours}
        for threads in case.threads:
            sides[f"sglang, {threads}"] = partial(self.theirs, threads, case.make)
        for threads in case.threads_in_order:
            sides[f"sglang in order, {threads}"] = partial(self.theirs, threads, case.in_order)
        contenders = [self._counted(name, side) for name, side in sides.items()]
        timings = interleave(contenders, repeats, warmups=0)
        alone = self._counted(ALONE, self.alone)
        return timings | interleave([alone], AGAIN, warmups=0)

    def ours(self) -> list[str]:
        """All rows through us, as they come."""
        given = getattr(workload, self.case.make)(f"{next(self.runs):04d}", self.rows)
        self.backend.recording = Recording()
        results = getattr(ours, self.case.program).run_batch(given, backend=self.backend)
        assert not results.failed, results.failed
        return [result.text for result in results]

    def alone(self) -> int:
        """The calls of our last run without any frontend, as if the server had not seen them."""
        made = replay(self.backend.recording, self.backend, self.url, f"{next(self.runs)}")
        return asyncio.run(made)

    def theirs(self, threads: Threads, make: str) -> list[str]:
        """All rows through SGLang."""
        asked = self.peer.ask(
            program=self.case.program,
            make=make,
            run=f"{next(self.runs):04d}",
            rows=self.rows,
            threads=threads,
        )
        return list(asked["texts"])

    def _counted(self, name: str, side: Callable[[], Any]) -> Contender:
        """A contender whose share of the server's counts is written down."""
        before: dict[str, float] = {}

        def prepare() -> None:
            before.update(_counts(self.url))

        def finish() -> None:
            after = _counts(self.url)
            spent = {key: after[key] - before[key] for key in after}
            self.spent.setdefault(name, []).append(spent)

        return Contender(name, side, prepare, finish)

    def row(self, name: str, timing: Timing) -> Row:
        """What a side took, and what the server counted, each the median of the runs."""
        counts = {key: median(run[key] for run in self.spent[name]) for key in self.spent[name][0]}
        return {
            "program": self.case.program,
            "frontend": name,
            "rows": self.rows,
            "seconds": timing.median,
            "spread": timing.spread,
            "hit rate": counts["cached"] / counts["prompt tokens"],
            "computed": counts["prompt tokens"] - counts["cached"],
        } | counts


def _sglang() -> Path:
    """The interpreter that has SGLang's frontend. Raises MissingDataError where there is none."""
    default = ROOT / ".venv-peers-sglang" / "bin" / "python"
    path = Path(os.environ.get("RAMIFY_SGLANG_PYTHON", default))
    if not path.exists():
        raise MissingDataError(f"{path} is not there: make bench-peers makes it")
    return path


def _counts(url: str) -> dict[str, float]:
    """The server's counters."""
    text = httpx.get(url.removesuffix("/v1") + "/metrics").text
    found = {}
    for name, counter in COUNTS.items():
        lines = re.findall(rf"^vllm:{counter}\{{[^}}]*\}} (\S+)$", text, re.M)
        found[name] = sum(map(float, lines))
    return found


def _version(url: str) -> str:
    found: str = httpx.get(url.removesuffix("/v1") + "/version").json()["version"]
    return found
