"""Fork tokens: one call where the backend forks, requests that stop and go on elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramify as rf
from ramify.backend.contract import Branch, Delta
from ramify.errors import CapabilityError, ProgramError
from ramify.ir import Forks
from ramify.runtime.fork_text import ForkText
from tests.dsl.patterns.calls import names

FORKS = Forks("^", "~", max_depth=2)
MAIN = ["1. Trade:^", "\n2. Fish:^", "\nThat is all."]
CHILDREN = [" They traded^, you know.", " They fished."]
INNER = [" a lot"]


def reply(prompt: str) -> str:
    written = prompt.rpartition("<|assistant|>")[2]
    if "~" not in written:  # the main branch, after so many forks
        return MAIN[written.count("^")]
    before, _, own = written.rpartition("~")
    if before.count("~"):
        return INNER[0]
    if own:  # a child goes on behind its own fork
        return ", you know."
    return CHILDREN[before.count("^") - 1]


TEXT = "1. Trade: They traded a lot, you know.\n2. Fish: They fished.\nThat is all."


def backends() -> list[rf.FakeBackend]:
    able = rf.FakeBackend(reply=reply)
    bare = replace(able.capabilities, fork_on_token=False)
    return [able, rf.FakeBackend(reply=reply, capabilities=bare)]


@pytest.mark.parametrize("native", [True, False])
def test_the_same_tree_and_text_either_way(native: bool) -> None:
    backend = backends()[not native]
    with rf.patterns.fork_tokens.stream("Why?", forks=FORKS, backend=backend) as stream:
        events = list(stream)
        result = stream.result()
    assert result.text == TEXT
    assert "".join(e.text for e in events if e.kind == "delta") == TEXT
    assert sorted(e.text for e in events if e.kind == "grown") == [
        "branch 0", "branch 0.0", "branch 1"]  # fmt: skip
    table = result.explain()
    assert "4 branches" in table and ("stopped and asked again" in table) != native
    calls = backend.calls
    assert names(calls) == ["answer"] * (1 if native else 7)  # a stretch between forks is a call
    if not native:
        for call in calls[1:]:  # each finds what stands before it, but for its own first token
            assert call.tokens - call.cached <= 2


def test_organize_fork_is_the_pattern_and_needs_the_tokens() -> None:
    @rf.program
    def answer(s: rf.State) -> Any:
        s += rf.user("Why?")
        s += rf.assistant(rf.gen("answer", organize="fork", max_tokens=64))
        return s["answer"]

    with pytest.raises(CapabilityError, match=r"node 'answer'.*no token '<\|fork\|>'.*skeleton"):
        answer.run(backend=rf.FakeBackend())


def test_what_follows_reads_the_text_in_its_order() -> None:
    @rf.program
    def asked(s: rf.State) -> Any:
        found = rf.patterns.fork_tokens("Why?", forks=FORKS)
        s += rf.user("Sum up: ", found)
        s += rf.assistant(rf.gen("sum", max_tokens=4))
        return s["sum"]

    backend = rf.FakeBackend(reply=lambda p: "ok" if "Sum up" in p else reply(p))
    asked.run(backend=backend)
    assert f"Sum up: {TEXT}<|end|>" in backend.calls[-1].text


def test_an_answer_that_never_forks_is_plain() -> None:
    backend = rf.FakeBackend(reply="Just this.")
    result = rf.patterns.fork_tokens.run("Why?", forks=FORKS, backend=backend)
    assert result.text == "Just this." and "no fork" in result.explain()
    with pytest.raises(ProgramError, match="empty question"):
        rf.patterns.fork_tokens.run(" ", forks=FORKS, backend=backend)


@st.composite
def deltas(draw: st.DrawFn) -> list[Delta]:
    """A tree of branches, its deltas mixed as an engine might send them."""
    left = {(): draw(st.integers(1, 5))}  # pieces that each branch still has to send
    children: dict[tuple[int, ...], int] = {(): 0}
    chars = {(): 0}
    waiting: list[Delta] = []  # first deltas of children
    found: list[Delta] = []
    while left or waiting:
        at = draw(st.integers(0, len(left) + len(waiting) - 1))
        if at >= len(left):
            first = waiting.pop(at - len(left))
            found.append(first)
            left[first.branch.path] = draw(st.integers(1, 3))
            continue
        path = list(left)[at]
        text = draw(st.text("ab ", max_size=3))
        chars[path] += len(text)
        left[path] -= 1
        if left[path] == 0:
            del left[path]
            found.append(Delta((1,), text, finish="stop", branch=Branch(path)))
            continue
        forks = len(path) < 2 and draw(st.booleans())
        found.append(Delta((9,) if forks else (1,), text, branch=Branch(path)))
        if forks:
            child = (*path, children[path])
            children[path] += 1
            children[child] = chars[child] = 0
            waiting.append(Delta((8,), branch=Branch(child, 0, chars[path])))
            if draw(st.booleans()):  # children of one branch begin in their order
                waiting.sort(key=lambda delta: delta.branch.path)
    return found


@given(deltas())
def test_text_in_order_is_the_text_of_the_tree(found: list[Delta]) -> None:
    order: dict[tuple[int, ...], int] = {}
    for delta in found:  # a later child of the same parent must not begin before an earlier one
        path = delta.branch.path
        if path and delta.ids == (8,):
            if path[-1] != order.get(path[:-1], 0):
                return
            order[path[:-1]] = path[-1] + 1
    tree = ForkText(fork=9)
    given_out = ""
    for delta in found:
        given_out += tree.take(delta)
        assert tree.text().startswith(given_out) or given_out in tree.text()
    given_out += tree.end()
    assert given_out == tree.text()
    assert sum(len(d.text) for d in found) == len(given_out)
