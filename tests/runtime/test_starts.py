"""What a run starts first, and what it does not take for done."""

from __future__ import annotations

from typing import Any

import ramify as rf
from ramify.errors import BackendDiedError


def test_of_what_is_ready_the_most_critical_starts_first() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        short, long = s.fork(2)
        short += rf.gen("short", max_tokens=1)
        long += rf.gen("long", max_tokens=100)
        return [short["short"], long["long"]]

    backend = rf.FakeBackend()
    p.run(backend=backend)
    assert [call.label.rpartition("/")[2] for call in backend.calls] == ["long", "short"]
    backend = rf.FakeBackend()
    p.run(backend=backend, policy=rf.Policy(optimize=False))
    assert [call.label.rpartition("/")[2] for call in backend.calls] == ["short", "long"]


def test_what_failed_is_not_merged_with_what_is_asked_again() -> None:
    asked: list[str] = []

    def fail(request: Any) -> Exception | None:
        asked.append(request.label)
        return BackendDiedError("gone") if len(asked) == 1 else None

    @rf.program
    def p(s: rf.State) -> Any:
        for branch in s.fork(2):
            branch += rf.user("the same")
            branch += rf.assistant(rf.gen("a"))
            try:
                return str(branch["a"])
            except BackendDiedError:
                continue
        return "never"

    result = p.run(backend=rf.FakeBackend(fail=fail), policy=rf.Policy(on_error="keep"))
    assert len(asked) == 2 and result.text not in ("", "never")
