import asyncio
import threading
from typing import Any

import pytest

import ramify as rf


@rf.program
def p(s: rf.State) -> Any:
    s += rf.user("hi")
    s += rf.assistant(rf.gen("a", max_tokens=30, min_tokens=25))
    branches = s.fork(2)
    branches += rf.user("more")
    branches += rf.assistant(rf.gen("b", max_tokens=10))
    return [s["a"], branches["b"]]


def test_events_tell_the_whole_story() -> None:
    with p.stream(backend=rf.FakeBackend()) as stream:
        events = list(stream)
        result = stream.result()
    kinds = [event.kind for event in events if event.name == "a"]
    assert kinds[:2] == ["planned", "started"] and kinds[-1] == "finished"
    text = "".join(event.text for event in events if event.name == "a" and event.kind == "delta")
    assert text == result["a"]
    assert {event.scope for event in events if event.name == "b"} == {"p[0]", "p[1]"}
    times = [event.at for event in events]
    assert times == sorted(times)


def test_text_of_one_variable() -> None:
    with p.stream(backend=rf.FakeBackend()) as stream:
        pieces = list(stream.text("a"))
        assert len(pieces) > 1 and "".join(pieces) == stream.result()["a"]


def test_async_stream() -> None:
    async def main() -> tuple[str, str]:
        async with p.astream(backend=rf.FakeBackend()) as stream:
            text = "".join([piece async for piece in stream.text("a")])
            return text, (await stream.result())["a"]

    a, b = asyncio.run(main())
    assert a == b


def test_errors_come_out_of_the_stream() -> None:
    @rf.program
    def bad(s: rf.State) -> Any:
        s += rf.gen("a", model="none")
        return s["a"]

    with bad.stream(backend=rf.FakeBackend()) as stream, pytest.raises(rf.RamifyError):
        list(stream)


def test_closing_early_cancels_the_run() -> None:
    ended = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @rf.program
    def late(s: rf.State) -> Any:
        s += rf.gen("a")
        return [s["a"], rf.call(slow)]

    with late.stream(backend=rf.FakeBackend()) as stream:
        for event in stream:
            if event.kind == "finished":
                break
    assert ended.wait(60)
