"""Fleets: routing, failures, failover; nothing lost, nothing said twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.backend import Request, TokenPrompt, collect
from ramify.backend.fleet import Breaker, Fleet, Replica, Router
from ramify.backend.mirror import Mirror
from ramify.backend.openai import OpenAIBackend
from ramify.errors import BackendDiedError, BackendError
from ramify.ir import Sampling
from ramify.runtime import run_sync

ROOT = Path(__file__).parents[3]


@rf.program
def answer(s: rf.State, group: str, question: str) -> Any:
    s += rf.system("You answer from the page. " + f"Page {group}: harbour trade and fish. " * 20)
    s += rf.user(question)
    s += rf.assistant(rf.gen("a", max_tokens=8))
    s += rf.user("Are you sure?")
    s += rf.assistant(rf.gen("b", max_tokens=8))
    return rf.lines(s["a"], s["b"])


ROWS = [{"group": f"{i * 7 % 20}", "question": f"question {i}"} for i in range(200)]


def hit_rate(backend: Any) -> float:
    results = answer.run_batch(ROWS, backend=backend, concurrency=16, window=32)
    assert not results.failed
    return results.usage.cached_tokens / results.usage.prompt_tokens


class RoundRobin(Router):
    """For comparison: each replica in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def choose(self, replicas: Any, ids: Any, salt: str = "", without: Any = ()) -> Any:
        self.turn += 1
        return replicas[self.turn % len(replicas)], 0


def test_two_replicas_find_as_much_as_one_with_twice_the_memory() -> None:
    memory = 8_000  # tokens: half of the pages
    single = hit_rate(rf.FakeBackend(cache_tokens=2 * memory, max_batch=16))
    pair = [rf.FakeBackend(f"r{i}", cache_tokens=memory, max_batch=8) for i in range(2)]
    fleet = Fleet(pair, cache_tokens=memory)
    found = hit_rate(fleet)
    others = [rf.FakeBackend(f"r{i}", cache_tokens=memory, max_batch=8) for i in range(2)]
    blind = Fleet(others, cache_tokens=memory)
    blind._router = RoundRobin()
    assert found >= 0.95 * single
    assert hit_rate(blind) < found
    served = [one.served for one in fleet.replicas]
    assert sum(served) == 2 * len(ROWS) and min(served) > sum(served) / 4


def test_a_replica_that_dies_in_the_middle_costs_no_row() -> None:
    right = [one.text for one in answer.run_batch(ROWS, backend=rf.FakeBackend())]
    fleet = Fleet([rf.FakeBackend("mortal", die_after=90), rf.FakeBackend("other")])
    results = answer.run_batch(ROWS, backend=fleet)
    assert [one.text for one in results] == right
    assert fleet.failovers > 0 and not fleet.replicas[0].breaker.closed
    gone = Fleet([rf.FakeBackend(die_after=0), rf.FakeBackend(die_after=0)])
    with pytest.raises(BackendDiedError, match=r"no replica of 'fleet' can take.*told to die"):
        answer.run(group="1", question="x", backend=gone)


def start(delay: float) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "tests.backend.openai.spec_server", "openai", str(delay)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def test_a_server_killed_in_the_middle_of_its_streams(tmp_path: Path) -> None:
    """SIGKILL while answers are on their way: every row is there, none twice."""
    servers = [start(0.005), start(0.005)]
    try:
        options: dict[str, Any] = {"tries": 1, "connections": 16, "leader_first": False}
        alone = OpenAIBackend.open(f"small@{servers[1][1]}", **options)
        right = [one.text for one in answer.run_batch(ROWS[:40], backend=alone)]
        fleet = Fleet([OpenAIBackend.open(f"small@{url}", **options) for _, url in servers])
        out = tmp_path / "out.jsonl"
        seen = 0

        def rows() -> Any:
            nonlocal seen
            for row in ROWS[:40]:
                seen += 1
                if seen == 20:
                    servers[0][0].send_signal(signal.SIGKILL)
                yield row

        results = answer.run_batch(rows(), backend=fleet, out=out, window=6, concurrency=12)
        assert [one.text for one in results] == right
        ids = Counter(json.loads(line)["id"] for line in out.read_text().splitlines())
        assert len(ids) == 40 and set(ids.values()) == {1}
        assert not fleet.replicas[0].breaker.closed and fleet.replicas[1].breaker.closed
        run_sync(fleet.close())
        run_sync(alone.close())
    finally:
        for server, _ in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


async def test_draining_and_bringing_back() -> None:
    fleet = Fleet([rf.FakeBackend("a", latency=0.02), rf.FakeBackend("b", latency=0.02)])
    request = Request(prompt=TokenPrompt((300, 301)), sampling=Sampling(max_tokens=8))
    running = [asyncio.create_task(collect(fleet.generate(request))) for _ in range(6)]
    await asyncio.sleep(0)
    drained = await fleet.drain(0)
    assert drained is fleet.replicas[0].backend and fleet.replicas[0].active == 0
    await asyncio.gather(*running)
    before = fleet.replicas[0].served
    await asyncio.gather(*(collect(fleet.generate(request)) for _ in range(4)))
    assert fleet.replicas[0].served == before
    fleet.undrain(0)
    await asyncio.gather(*(collect(fleet.generate(request)) for _ in range(8)))
    assert fleet.replicas[0].served > before


def test_a_breaker_opens_tries_once_and_closes() -> None:
    now = 0.0
    breaker = Breaker(failures=2, pause_s=1.0, clock=lambda: now)
    breaker.failed("a")
    assert breaker.closed and breaker.lets()
    breaker.failed("b")
    assert not breaker.closed and not breaker.lets() and breaker.reason == "b"
    now = 1.0
    assert breaker.lets()
    breaker.sent()
    assert not breaker.lets()  # one trial at a time
    breaker.failed("c")
    now = 2.5
    assert breaker.lets()
    breaker.sent()
    breaker.failed("d")
    now = 4.0
    assert not breaker.lets()  # the pause has doubled
    now = 5.0
    breaker.sent()
    breaker.worked()
    assert breaker.closed and breaker.lets()
    breaker.failed("gone", at_once=True)
    assert not breaker.closed


def test_the_router_follows_prefixes_until_they_are_too_busy() -> None:
    replicas = [Replica(rf.FakeBackend(), Mirror(), Breaker()) for _ in range(3)]
    router = Router()
    ids = list(range(320))
    replicas[1].mirror.add(replicas[1].mirror.names(ids))
    found = {router.choose(replicas, [*ids, i])[0] for i in range(20)}
    assert found == {replicas[1]}
    assert router.choose(replicas, ids)[1] == 320
    replicas[1].load = 10_000
    assert router.choose(replicas, ids)[0] is not replicas[1]
    unknown = Counter(router.choose(replicas, [i] * 50)[0] for i in range(60))
    assert replicas[1] not in unknown and len(unknown) == 2
    for one in replicas:
        one.draining = True
    assert router.choose(replicas, ids) == (None, 0)


def test_misuse_is_named() -> None:
    with pytest.raises(BackendError, match="needs a replica"):
        Fleet([])
    fleet = Fleet(["fake:", "fake:?context=99"])
    assert fleet.profile().context == 99 and fleet.profile().max_batch == 128
    assert fleet.capabilities == rf.FakeBackend().capabilities
