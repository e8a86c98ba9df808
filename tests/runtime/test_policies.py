"""Failure, retries, timeouts: what a run does, and that nothing is left running."""

import asyncio
import threading
from typing import Any

import pytest

import ramify as rf
from ramify.errors import BackendDiedError, NodeTimeoutError, RamifyError, UpstreamError


@rf.program
def three(s: rf.State) -> Any:
    """Three branches, the middle one of which can be made to fail, and a join."""
    s += rf.user("trunk")
    branches = s.fork(3)
    branches += lambda i: rf.user(f"branch {i}")
    branches += rf.assistant(rf.gen("x"))
    s.join(branches)
    s += rf.user("close")
    s += rf.assistant(rf.gen("end"))
    s["parts"] = branches["x"]
    return [s["end"]]


def failing(part: str, times: int = 10**9) -> rf.FakeBackend:
    """Fails requests whose label or prompt says `part`, the first `times` times."""
    left = [times]

    def fail(request: Any) -> Exception | None:
        if part in request.label and left[0] > 0:
            left[0] -= 1
            return BackendDiedError("the line went dead.")
        return None

    return rf.FakeBackend(fail=fail)


def test_fail_ends_the_run_at_the_first_error() -> None:
    with pytest.raises(BackendDiedError, match=r"program 'three', node 'x'.*line went dead"):
        three.run(backend=failing("three[1]"))


def test_keep_lets_the_others_finish_and_reading_raises() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        branches = s.fork(3)
        branches += lambda i: rf.user(f"branch {i}")
        branches += rf.assistant(rf.gen("x"))
        s += rf.user("other")
        s += rf.assistant(rf.gen("other"))
        for i, branch in enumerate(branches):
            s[f"x{i}"] = branch["x"]
        s["after"] = rf.call(len, branches[1]["x"])
        return s["other"]

    result = p.run(backend=failing("p[1]"), policy=rf.Policy(on_error="keep"))
    assert result.text and result["x0"] and result["x2"]
    assert not result.ok and isinstance(result.errors[0], BackendDiedError)
    with pytest.raises(BackendDiedError):
        _ = result["x1"]
    with pytest.raises(UpstreamError, match="'x' failed"):
        three.run(backend=failing("three[1]"), policy=rf.Policy(on_error="keep"))


def test_best_effort_leaves_the_failed_branch_out_of_the_join() -> None:
    backend = failing("three[1]")
    result = three.run(backend=backend, policy=rf.Policy(on_error="best_effort"))
    assert result.text and len(result.errors) == 1
    last = backend.calls[-1].text
    assert "branch 0" in last and "branch 2" in last and "branch 1" not in last


def test_each_under_best_effort_drops_the_failed_item() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("items", schema=list[str], max_tokens=40)

        def body(branch: rf.State, item: str) -> None:
            branch += rf.user(item)
            branch += rf.assistant(rf.gen("x"))

        return s.each(s["items"], body)["x"]

    def fail(request: Any) -> Exception | None:
        return ValueError("odd") if "body[1]" in request.label else None

    backend = rf.FakeBackend(fail=fail, reply={"": '["a","b","c"]'})
    result = p.run(backend=backend, policy=rf.Policy(on_error="best_effort"))
    assert len(result.value) == 2
    with pytest.raises(RamifyError, match="ValueError: odd"):
        p.run(backend=backend)


def test_retry_tries_again_and_says_so() -> None:
    policy = rf.Policy(retry=rf.Retry(attempts=3, backoff_s=0.001))
    events = []
    with three.stream(backend=failing("three[1]", times=2), policy=policy) as stream:
        events = [event.kind for event in stream]
    assert events.count("retried") == 2 and events.count("failed") == 0
    with pytest.raises(BackendDiedError):
        three.run(backend=failing("three[1]", times=3), policy=policy)


def test_retry_does_not_repeat_what_would_fail_again() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        return rf.call(boom)

    calls = []

    def boom() -> None:
        calls.append(1)
        raise ValueError("no")

    with pytest.raises(RamifyError, match="ValueError"):
        p.run(backend=rf.FakeBackend(), policy=rf.Policy(retry=rf.Retry(attempts=5)))
    assert len(calls) == 1


def test_timeouts_of_nodes_and_runs() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    @rf.program
    def p(s: rf.State) -> Any:
        return rf.call(slow)

    for timeouts, match in (
        (rf.Timeouts(node_s=0.05), "node 'slow'.*not done after 0.05 s"),
        (rf.Timeouts(run_s=0.05), "program 'p'.*not done after 0.05 s"),
    ):
        with pytest.raises(NodeTimeoutError, match=match):
            p.run(backend=rf.FakeBackend(), policy=rf.Policy(timeouts=timeouts))


def test_a_failure_cancels_what_is_under_way() -> None:
    ended = []
    begun = threading.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def boom() -> str:
        assert await asyncio.to_thread(begun.wait, 60)
        raise ValueError("no")

    @rf.program
    def p(s: rf.State) -> Any:
        return [rf.call(slow), rf.call(boom)]

    with pytest.raises(RamifyError, match="ValueError: no"):
        p.run(backend=rf.FakeBackend())
    assert ended == ["cancelled"]


def test_a_failure_wakes_a_program_that_waits() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a")
        try:
            str(s["a"])
        except BackendDiedError:
            seen.append("woken")
            raise
        return s

    seen: list[str] = []
    with pytest.raises(BackendDiedError):
        p.run(backend=failing("p"))
    assert seen == ["woken"]


def test_cancelling_arun_cancels_the_nodes() -> None:
    ended = threading.Event()
    begun = threading.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @rf.program
    def p(s: rf.State) -> Any:
        return rf.call(slow)

    async def main() -> None:
        task = asyncio.create_task(p.arun(backend=rf.FakeBackend()))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 60)

    asyncio.run(main())


def test_a_program_that_exits_does_not_take_the_loop_with_it() -> None:
    @rf.program
    def sync(s: rf.State) -> Any:
        raise SystemExit(3)

    @rf.program
    async def later(s: rf.State) -> Any:
        raise SystemExit(3)

    for program in (sync, later):
        with pytest.raises(RamifyError, match="raised SystemExit: 3"):
            program.run(backend=rf.FakeBackend())
    assert three.run(backend=rf.FakeBackend()).text


def test_values_of_an_ended_run_say_so() -> None:
    kept: list[Any] = []

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a", max_tokens=4)
        kept.append(s["a"])
        s += rf.gen("b", max_tokens=4)
        kept.append(s["b"])
        return s["a"]

    result = p.run(backend=rf.FakeBackend())
    assert str(kept[0]) == result.text
    with pytest.raises(RamifyError, match="the run has ended"):
        str(kept[1])


def test_salts_keep_prefixes_apart() -> None:
    backend = rf.FakeBackend()
    first = three.run(backend=backend, policy=rf.Policy(salt="a")).usage
    again = three.run(backend=backend, policy=rf.Policy(salt="a")).usage
    other = three.run(backend=backend, policy=rf.Policy(salt="b")).usage
    assert again.cached_tokens > first.cached_tokens == other.cached_tokens


def test_best_effort_goes_on_without_passages_that_could_not_be_found() -> None:
    class Gone:
        async def search(self, query: str, k: int = 5, **options: Any) -> Any:
            raise ConnectionError("gone")

    @rf.program
    def p(s: rf.State) -> Any:
        found = rf.retrieve(Gone(), "harbour")
        best = rf.rerank(found, "harbour")
        s += rf.user(rf.compress(best, rate=0.5, method="words"), "What is known?")
        s += rf.assistant(rf.gen("answer"))
        return s["answer"]

    result = p.run(backend="fake:", policy=rf.Policy(on_error="best_effort"))
    assert result.text and [type(error.__cause__) for error in result.errors] == [ConnectionError]
