"""Batches against a prefix cache that holds less than the rows need."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

import ramify as rf

DOCUMENTS = [f"document {d} " + f"word{d} " * 200 for d in range(6)]


class Small(rf.FakeBackend):
    """A backend that says how much its cache holds."""

    cache_block = 4

    def __init__(self, tokens: int, **options: Any) -> None:
        super().__init__(cache_tokens=tokens, **options)
        self.cache_tokens = tokens

    def computed(self) -> int:
        return sum(call.tokens - call.cached for call in self.calls)


@rf.program
def read(s: rf.State, text: str) -> Any:
    s += rf.user(text)
    s += rf.assistant(rf.gen("found", max_tokens=4))
    for branch in s.fork(2):
        branch += rf.user("and more")
        branch += rf.assistant(rf.gen("more", max_tokens=4))
    return rf.lines(s["found"], branch["more"])


def rows(count: int = 48) -> list[dict[str, Any]]:
    found = [{"text": f"{DOCUMENTS[i % 6]} question {i}"} for i in range(count)]
    random.Random(1).shuffle(found)
    return found


def test_rows_come_back_in_their_order_and_as_they_are_without_any_order() -> None:
    given = rows()
    ours, plain = Small(600), Small(600)
    results = read.run_batch(given, backend=ours, concurrency=48)
    naive = read.run_batch(given, backend=plain, concurrency=48, policy=rf.Policy(optimize=False))
    assert [r.text for r in results] == [r.text for r in naive]
    assert not results.failed and sorted(results.by_row) == list(range(48))
    # each of six documents is computed about once; as rows come, nearly each time
    assert 3 * ours.computed() < plain.computed()


@pytest.mark.parametrize(("fit", "least", "limit"), [(0, 1, 1), (3, 2, 3), (6, 5, 6), (90, 16, 16)])
def test_no_more_rows_are_open_than_the_cache_holds(fit: int, least: int, limit: int) -> None:
    now: set[int] = set()
    most = 0
    enough = asyncio.Event()

    async def begin(i: int) -> str:
        nonlocal most
        now.add(i)
        most = max(most, len(now))
        if most >= least:
            enough.set()
        await asyncio.wait_for(enough.wait(), 60)  # those that may be open are open together
        return ""

    @rf.program
    def p(s: rf.State, i: int) -> Any:
        s += rf.user(f"{i} " + f"word{i} " * 100)
        s += rf.assistant(rf.gen("x", max_tokens=4), rf.call(begin, i))
        s += rf.user("more")
        s += rf.assistant(rf.gen("y", max_tokens=4))
        return rf.call(lambda text: now.discard(i), s["y"])

    whole = rf.FakeBackend()
    enough.set()
    p.run(i=10, backend=whole)
    enough.clear()
    one = max(call.tokens for call in whole.calls) + 8
    most = 0
    backend = Small(fit * one + one // 2)
    results = p.run_batch([{"i": i} for i in range(10, 30)], backend=backend, concurrency=16)
    assert not results.failed and len(results) == 20
    assert least <= most <= limit


def test_a_stream_of_rows_of_unknown_length_goes_in_windows() -> None:
    pulled = 0

    def stream() -> Iterator[dict[str, Any]]:
        nonlocal pulled
        for row in rows(60):
            pulled += 1
            yield row

    seen: list[int] = []

    class Watching(Small):
        def generate(self, request: Any) -> Any:
            seen.append(pulled)
            return super().generate(request)

    results = read.run_batch(stream(), backend=Watching(500), concurrency=8, window=20)
    assert len(results) == 60 and not results.failed
    assert seen[0] == 20  # the second window is read when the first one has been let go


def test_calls_of_rows_under_way_are_more_urgent_than_first_calls() -> None:
    backend = Small(900)
    read.run_batch(rows(), backend=backend, concurrency=48)
    first = [call.priority for call in backend.calls if "and more" not in call.text]
    later = [call.priority for call in backend.calls if "and more" in call.text]
    assert len(first) == 48 and len(later) == 48  # the two branches are equal work
    assert max(first) < min(later)


def test_rows_go_on_side_by_side_where_all_fit() -> None:
    backend = Small(1_000_000)
    read.run_batch(rows(), backend=backend, concurrency=48)
    first = [call.priority for call in backend.calls if "and more" not in call.text]
    later = [call.priority for call in backend.calls if "and more" in call.text]
    assert min(first) > max(later) > 0  # the critical path: more waits behind a first call


def test_rows_that_fail_give_their_room_back() -> None:
    @rf.program
    def p(s: rf.State, i: int) -> Any:
        s += rf.user(f"{i} " + f"word{i} " * 100)
        if i % 5 == 3:
            raise ValueError("a row of its own")
        s += rf.assistant(rf.gen("x", max_tokens=4))
        return s["x"]

    results = p.run_batch([{"i": i} for i in range(30)], backend=Small(250))
    assert sorted(results.failed) == [3, 8, 13, 18, 23, 28] and len(results) == 30
