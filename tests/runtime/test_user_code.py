"""Code of the program's author: functions of every kind, and those that want to end everything."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError, RamifyError


async def shout(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


class Shouter:
    async def __call__(self, text: str) -> str:
        return await shout(text)


@pytest.mark.parametrize("pure", [False, True])
@pytest.mark.parametrize(
    "function",
    [shout, functools.partial(shout), Shouter(), lambda text: shout(text), str.upper],
    ids=["async", "partial", "object", "gives a coroutine", "plain"],
)
def test_a_function_is_awaited_however_it_is_async(
    function: Callable[[str], Any], pure: bool
) -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a")
        return rf.call(function, s["a"], pure=pure)

    result = p.run(backend="fake:")
    assert result.text == result["a"].upper()
    assert asyncio.run(p.arun(backend="fake:")).text == result.text


def test_async_bodies_of_branches() -> None:
    class Body:
        async def __call__(self, branch: rf.State, item: str) -> None:
            branch += rf.user(await shout(item))
            branch += rf.assistant(rf.gen("t", max_tokens=2))

    @rf.program
    def p(s: rf.State, body: Any) -> Any:
        return s.each(["a", "b"], body)["t"]

    assert len(p.run(Body(), backend="fake:").value) == 2
    with pytest.raises(ProgramError, match="gives a coroutine, but is not async itself"):
        p.run(lambda branch, item: Body()(branch, item), backend="fake:")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_nobody_ends_the_event_loop_of_all(error: BaseException) -> None:
    def end(text: str) -> str:
        raise error

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a")
        return rf.call(end, s["a"], pure=True)

    @rf.program
    def q(s: rf.State) -> Any:
        return rf.first(1, s.fork(2), until=end)  # type: ignore[arg-type]

    for program in (p, q):
        with pytest.raises(RamifyError, match=type(error).__name__):
            program.run(backend="fake:")
    assert rf.patterns.first_k.run("Still there?", backend="fake:").text


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    script = """
import os, signal, ramify as rf

@rf.program
def p(s):
    def body(branch, item):
        branch += rf.gen("a")
        str(branch["a"])
    s.each([1, 2], body)
    s += rf.gen("a")
    return s["a"]

rf.set_default_backend("fake:")
mine = p.run().text
child = os.fork()
if child == 0:
    signal.alarm(60)  # a hang ends, and is seen
    os._exit(p.run().text != mine)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_default_backend_is_opened_again_after_all_were_closed() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a")
        return s["a"]

    rf.set_default_backend("fake:?name=again")
    try:
        text = p.run().text
        rf.close_backends()
        assert p.run().text == text
    finally:
        rf.set_default_backend(None)
        rf.close_backends()


def test_what_a_sampled_answer_notes_is_all_there() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a", temperature=1.0, max_tokens=1)
        return s["a"]

    (account,) = p.run(backend="fake:").accounts.values()
    assert "cut at max_tokens" in account.note and "seed" in account.note
