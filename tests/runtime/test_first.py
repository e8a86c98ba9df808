"""rf.first: what is cancelled, and what must not be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ramify as rf
from ramify.backend import Delta, Request


class Held(rf.FakeBackend):
    """Answers a request whose label ends with a key of `held` once its event is set."""

    def __init__(self, *held: str) -> None:
        super().__init__()
        self.held = {name: asyncio.Event() for name in held}

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        name = request.label.rpartition("/")[2]
        if name in self.held:
            await self.held[name].wait()
        async for delta in super().generate(request):
            yield delta

    def labels(self) -> list[str]:
        return [call.label for call in self.calls]


@rf.program
def race(s: rf.State) -> Any:
    """The second branch waits for `aside`, which stands beside both and is returned, too."""
    aside = s.fork()
    aside += rf.user("aside")
    aside += rf.assistant(rf.gen("aside"))
    quick, late = branches = s.fork(2)
    quick += rf.user("quick")
    quick += rf.assistant(rf.gen("quick"))
    late += rf.user("late ", aside["aside"])
    late += rf.assistant(rf.gen("late"))
    winner = rf.first(1, branches)
    return [winner["quick"], aside["aside"]]


def watched(backend: Held, program: rf.Program, **policy: Any) -> tuple[rf.Result, list[str]]:
    """The result, and the kinds and names of events; `aside` is let go when `first` has decided."""

    async def run() -> tuple[rf.Result, list[str]]:
        said = []
        stream = program.astream(backend=backend, policy=rf.Policy(**policy))
        async with stream:
            async for event in stream:
                said.append(f"{event.kind} {event.name}")
                if said[-1] == "finished first 1":
                    loop_of(backend).call_soon_threadsafe(backend.held["aside"].set)
            return await stream.result(), said

    return asyncio.run(run())


def loop_of(backend: Held) -> asyncio.AbstractEventLoop:
    from ramify.runtime.loop import background_loop

    return background_loop()


def test_what_the_program_returns_is_not_cancelled_with_the_branches_that_read_it() -> None:
    backend = Held("aside")
    result, said = watched(backend, race)
    quick, aside = result.value
    assert quick and aside
    assert "cancelled late" in said and "cancelled aside" not in said


def test_a_cancelled_node_does_not_start_when_what_it_waited_for_is_there() -> None:
    for on_error in ("fail", "best_effort"):
        backend = Held("aside")
        _, said = watched(backend, race, on_error=on_error)
        assert said.index("cancelled late") < said.index("finished aside")
        assert "started late" not in said
        assert not any(label.endswith("/late") for label in backend.labels())


def test_what_only_the_losers_need_is_cancelled() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        quick, late = branches = s.fork(2)
        quick += rf.gen("quick")
        late += rf.user("x")
        late += rf.assistant(rf.gen("aside"))
        late += rf.assistant(rf.gen("late"))
        return rf.first(1, branches)["quick"]

    backend = Held("aside")
    result = p.run(backend=backend)  # nobody lets "aside" go
    assert result.text
    assert not any(label.endswith(("/aside", "/late")) for label in backend.labels())
