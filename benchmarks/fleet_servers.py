"""A fleet over two real vLLM servers: what routing by prefix finds, and one killed in the middle.

Programs of two calls over 24 shared pages, of which a replica's prefix cache holds half. Counted
are the prompt tokens that the servers say they found, not time.

    fleet             hit rate of the fleet over 0.95 of that of one server with twice the memory
    over_round_robin  hit rate of the fleet over that of the same servers in turns
    killed            rows that finished once, of all rows, while one server was killed (SIGKILL)

Needs vLLM's environment (`make test-vllm` makes it; RAMIFY_VLLM_PYTHON names another interpreter).
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ramify as rf
from benchmarks.fleet import InTurns, look_up
from benchmarks.harness import Options, Report
from benchmarks.harness.models import random_llama
from benchmarks.harness.server import Server
from benchmarks.peers.serving import vllm_server
from benchmarks.serving import SHAPE, interpreter
from ramify.backend.fleet import Fleet, Router
from ramify.runtime import run_sync

PAGES = 24
BLOCK = 32  # tokens
BLOCKS = 256  # of one replica
AT_ONCE, WINDOW = 8, 32


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where vLLM is not installed."""
    python, folder = interpreter(), random_llama(SHAPE)
    count = 100 if options.quick else 240
    rows = [{"page": f"{(i * 7919) % PAGES}", "question": f"question {i}"} for i in range(count)]
    with ExitStack() as stack:
        large, *pair = (
            stack.enter_context(vllm_server(python, folder, num_gpu_blocks_override=blocks))
            for blocks in (2 * BLOCKS, BLOCKS, BLOCKS)
        )
        single = _look_up(_fleet(folder, [large]), rows, "single")
        routed = _look_up(_fleet(folder, pair), rows, "fleet")
        turns = _look_up(_fleet(folder, pair, InTurns()), rows, "round robin")
        killed = _look_up(_fleet(folder, pair), rows, "killed", kill=pair[1])
    found = [single, routed, turns, killed]
    texts = [each.pop("texts") for each in found]
    for each, said in zip(found, texts, strict=True):
        each["as the single one"] = sum(map(str.__eq__, said, texts[0]))
    ratios = {
        "fleet": routed["hit rate"] / (0.95 * single["hit rate"]),
        "over_round_robin": routed["hit rate"] / turns["hit rate"],
        "killed": killed["finished once"] / count,
    }
    return Report("fleet_servers", found, ratios)


def _fleet(folder: Path, servers: Sequence[Server], router: Router | None = None) -> Fleet:
    """Servers as one backend; a request that fails goes to another one at once."""
    fleet = Fleet([f"openai:{folder}@{server.url}?tries=1" for server in servers], block=BLOCK)
    if router is not None:
        fleet._router = router
    return fleet


def _look_up(
    fleet: Fleet, rows: list[dict[str, str]], name: str, kill: Server | None = None
) -> dict[str, Any]:
    """All rows through a fleet whose caches are empty of them; `kill`: after a third of them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        over = threading.Event()
        killer = threading.Thread(target=_kill_after, args=(kill, out, len(rows) // 3, over))
        killer.start()
        results = look_up.run_batch(
            rows, backend=fleet, concurrency=AT_ONCE, window=WINDOW, out=out,
            policy=rf.Policy(salt=name),
        )  # fmt: skip
        over.set()
        killer.join()
        written = Counter(json.loads(line)["id"] for line in out.read_text().splitlines())
    if kill is not None and kill.process.poll() is None:
        raise RuntimeError("the server was not killed before the rows were done.")
    assert not results.failed, results.failed
    usage = results.usage
    found = {
        "contender": name,
        "programs": len(rows),
        "finished once": sum(times == 1 for times in written.values()),
        "prompt tokens": usage.prompt_tokens,
        "hit rate": usage.cached_tokens / usage.prompt_tokens,
        "requests": "/".join(str(one.served) for one in fleet.replicas),
        "sent again": fleet.failovers,
        "texts": [result.text for result in results],
    }
    run_sync(fleet.close())
    return found


def _kill_after(server: Server | None, out: Path, rows: int, over: threading.Event) -> None:
    while server is not None and not over.wait(0.02):
        if out.exists() and out.read_bytes().count(b"\n") >= rows:
            server.kill()
            server.process.wait()
            return
