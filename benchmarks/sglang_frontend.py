"""Programs with branches through our runtime against the SGLang frontend, on one vLLM server.

Four programs (benchmarks/frontends), several rows of each at once: a skeleton with 8 points, a
tree of thoughts, a panel of judges, and questions about shared documents. Same texts, same tokens
written; each run has prompts that the server has not seen. The server's prefix cache is on and
holds about 60 % of the documents. Tokens and hits are the server's own counts.

    sglang_NAME   seconds through the SGLang frontend over seconds through ours

Prompts and written tokens being equal, the engine has the same work from both unless one finds more
in the cache. On two cores the engine's worker is the bottleneck: of a run of the skeletons it uses
2.5 CPU seconds, its server 0.9 and either frontend 0.5 to 0.6, beside it. So only the order of the
calls can make a difference here, and only where the cache does not hold everything. There ours
finds a little less than SGLang's threads do. A guess at why, not tested: a node's priority is its
critical path, so the first calls of later rows go before the follow-ups of earlier ones, and push
their documents out.

Needs vLLM's environment and SGLang's (`make bench-peers`; RAMIFY_VLLM_PYTHON and
RAMIFY_SGLANG_PYTHON name other interpreters). A random model of 4 x 256 in float32: on two cores
its steps take about as long as those of an 8B model on a large GPU, so that what a frontend costs
is neither hidden nor all there is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from benchmarks.frontends import ours
from benchmarks.frontends.model import wordy_model
from benchmarks.frontends.workload import PROGRAMS
from benchmarks.harness import Contender, MissingDataError, Options, Report, interleave
from benchmarks.peers.apart import Apart
from benchmarks.peers.serving import vllm_server
from benchmarks.serving import ROOT, SHAPE, interpreter

CACHE = 384  # blocks of 32 tokens
CONNECTIONS = 96
AT_ONCE = 32  # rows; more of them would use more documents than the cache holds
COUNTS = ("prompt_tokens", "generation_tokens", "prefix_cache_hits", "num_preemptions")


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where an environment is missing."""
    from ramify.backend.openai import OpenAIBackend
    from ramify.runtime import run_sync

    python, sglang = interpreter(), _sglang()
    folder = wordy_model(replace(SHAPE, seed=3))
    found, ratios = [], {}
    with vllm_server(python, folder, max_model_len=2048, num_gpu_blocks_override=CACHE) as url:
        backend = OpenAIBackend.open(f"{folder}@{url}", connections=CONNECTIONS)
        runs = count()
        with Apart(sglang, "sglang_peer", model=str(folder), url=url) as peer:
            for name, (make, full, quick) in PROGRAMS.items():
                rows = quick if options.quick else full
                program = getattr(ours, name)
                spent: dict[str, list[dict[str, float]]] = {"sglang": [], "ramify": []}

                def through_sglang(name: str = name, rows: int = rows) -> list[str]:
                    asked = peer.ask(
                        program=name, run=f"{next(runs):04d}", rows=rows, threads=AT_ONCE
                    )
                    return list(asked["texts"])

                def through_us(
                    program: Any = program, make: Callable[..., Any] = make, rows: int = rows
                ) -> list[str]:
                    given = make(f"{next(runs):04d}", rows)
                    results = program.run_batch(given, backend=backend, concurrency=AT_ONCE)
                    assert not results.failed, results.failed
                    return [result.text for result in results]

                timings = interleave(
                    [
                        _counted("sglang", through_sglang, url, spent),
                        _counted("ramify", through_us, url, spent),
                    ],
                    options.repeats or 5,
                )
                for who, timing in timings.items():
                    last = spent[who][-1]
                    found.append(
                        {
                            "program": name,
                            "frontend": who,
                            "rows": rows,
                            "seconds": timing.median,
                            "spread": timing.spread,
                            "prompt tokens": last["prompt_tokens"],
                            "cached": last["prefix_cache_hits"],
                            "hit rate": last["prefix_cache_hits"] / last["prompt_tokens"],
                            "written": last["generation_tokens"],
                            "preempted": last["num_preemptions"],
                        }
                    )
                    print(found[-1], file=sys.stderr)
                ratios[f"sglang_{name}"] = timings["sglang"].median / timings["ramify"].median
            machine = {"sglang": peer.ready["version"], "vllm": _version(url)}
        run_sync(backend.close())
    return Report("sglang_frontend", found, ratios, machine)


def _sglang() -> Path:
    """The interpreter that has SGLang's frontend. Raises MissingDataError where there is none."""
    default = ROOT / ".venv-peers-sglang" / "bin" / "python"
    path = Path(os.environ.get("RAMIFY_SGLANG_PYTHON", default))
    if not path.exists():
        raise MissingDataError(f"{path} is not there: make bench-peers makes it")
    return path


def _counted(
    name: str, run: Callable[[], Any], url: str, spent: dict[str, list[dict[str, float]]]
) -> Contender:
    """A contender whose share of the server's counts is written down."""
    before: dict[str, float] = {}

    def prepare() -> None:
        before.update(_counts(url))

    def finish() -> None:
        after = _counts(url)
        spent[name].append({key: after[key] - before[key] for key in COUNTS})

    return Contender(name, run, prepare, finish)


def _counts(url: str) -> dict[str, float]:
    """The server's counters."""
    text = httpx.get(url.removesuffix("/v1") + "/metrics").text
    found = {}
    for name in COUNTS:
        lines = re.findall(rf"^vllm:{name}_total\{{[^}}]*\}} (\S+)$", text, re.M)
        found[name] = sum(map(float, lines))
    return found


def _version(url: str) -> str:
    found: str = httpx.get(url.removesuffix("/v1") + "/version").json()["version"]
    return found
