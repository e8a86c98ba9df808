"""Many programs at once against one server that does its best, and one that does its worst.

The server keeps to the protocol and has no model, in a process of its own. Ratios are budget over
measured, 1 or more means that it holds:

    answered      2,000 programs at once, all of them answered
    faults        the same against a server that does one in three requests wrong: it refuses them
                  with 429, closes streams in the middle, sends half JSON as an answer or as an
                  event, and says nothing more before an answer or within: all answered or failed
                  by name
    in_time       the time that a program may take with all tries, over that of the slowest
    memory_flat   growth of the resident memory from the second to the fourth round: 20 MB
    fair          the slowest tenth of the programs may take three times the median
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import ramify as rf
from benchmarks.harness import Options, Report
from ramify.backend.openai import OpenAIBackend
from ramify.errors import RamifyError
from ramify.runtime import run_sync

TOTAL_S = 120.0
ROOT = Path(__file__).parents[1]


@rf.program
def ask(s: rf.State, word: str) -> Any:
    """A question, and one about its answer."""
    s += rf.system("Answer in a few words.")
    s += rf.user(word)
    s += rf.assistant(rf.gen("a", max_tokens=12))
    s += rf.user("Sure?")
    s += rf.assistant(rf.gen("b", max_tokens=12))
    return s["b"]


@contextmanager
def server(delay: float, faults: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.backend.openai.spec_server", "openai", str(delay)]
    running = subprocess.Popen([*command, faults], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        yield running.stdout.readline().strip()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def resident_mb() -> float:
    """Resident memory of this process now."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def run(options: Options) -> Report:
    count = 500 if options.quick else 2_000
    rows = [{"word": f"word {i}"} for i in range(count)]
    found: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    with server(0.002, "") as url:
        backend = OpenAIBackend.open(f"small@{url}")
        sizes = []
        for _ in range(4):
            begun = time.perf_counter()
            results = ask.run_batch(rows, backend=backend, concurrency=count, window=count)
            sizes.append(resident_mb())
            seconds = [one.seconds for one in results]
        found.append(_row("steady", results, time.perf_counter() - begun, sizes[-1]))
        run_sync(backend.close())
        ratios["answered"] = (count - len(results.failed)) / count
        ratios["memory_flat"] = 20 / max(0.1, sizes[3] - sizes[1])
        ratios["fair"] = 3 * median(seconds) / quantiles(seconds, n=10)[-1]
    named = 0
    with server(0.0, "429,close,malformed,garbled,stall,hang") as url:
        backend = OpenAIBackend.open(
            f"small@{url}", tries=12, backoff_s=0.05, first_s=2.0, gap_s=2.0, total_s=TOTAL_S
        )
        begun = time.perf_counter()
        results = ask.run_batch(rows, backend=backend, concurrency=count, window=count)
        named = sum(isinstance(error, RamifyError) for error in results.failed.values())
        took = time.perf_counter() - begun
        found.append(_row("faults", results, took, resident_mb()))
        run_sync(backend.close())
    ratios["faults"] = (count - len(results.failed) + named) / count
    ratios["in_time"] = 2 * TOTAL_S / took  # a program is two requests, one behind the other
    return Report("load", found, ratios)


def _row(part: str, results: rf.BatchResult, took: float, mb: float) -> dict[str, Any]:
    return {
        "part": part,
        "programs": len(results),
        "answered": len(results) - len(results.failed),
        "failed by name": len(results.failed),
        "seconds": took,
        "resident MB": mb,
    }
