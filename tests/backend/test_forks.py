"""Answers that fork: the fake's own against the lowering to plain requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend import (
    Collected,
    FakeBackend,
    ForkRule,
    Request,
    TokenPrompt,
    collect,
    generate_forking,
)
from ramify.backend.forks import Stretch
from ramify.errors import BackendDiedError, BackendError, CapabilityError
from ramify.ir.sampling import Constraint, Sampling

WORDS = FakeBackend().tokenizer


def token(text: str) -> int:
    (found,) = WORDS.encode(text)
    return found


AND, THE = token(" and"), token("the")
MARK, BEGIN = token("§"), token("¶")


def ask(prompt: str, rule: ForkRule | None, **options: Any) -> Request:
    options = {"max_tokens": 60, **options}
    ids = WORDS.encode(prompt)
    return Request(prompt=TokenPrompt(ids), sampling=Sampling(**options), fork=rule)


def fake(native: bool = True, bans: bool = True, **options: Any) -> FakeBackend:
    backend = FakeBackend(**options)
    abilities = replace(backend.capabilities, fork_on_token=native, token_bans=bans)
    backend.capabilities = abilities
    return backend


def tree(done: Collected) -> list[tuple[Any, ...]]:
    """What must be the same whoever writes the tree, and whenever."""
    return [
        (b.branch, b.ids, b.text, b.finish, b.stop_id, b.logprobs, tokens(b)) for b in done.walk()
    ]


def tokens(branch: Collected) -> tuple[int, int]:
    return branch.usage.prompt_tokens, branch.usage.output_tokens


async def grown(backend: FakeBackend, request: Request) -> Collected:
    return await collect(generate_forking(backend, request))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_lowering_gives_the_same_tree(data: st.DataObject) -> None:
    draw = data.draw
    common = st.sampled_from([" and", " the", " old", " of", " men"])
    fork, child = draw(st.lists(common.map(token), min_size=2, max_size=2, unique=True))
    rule = ForkRule(
        fork=fork, child=child, max_depth=draw(st.integers(1, 3)),
        max_branches=draw(st.integers(1, 3)),
    )  # fmt: skip
    request = ask(
        draw(st.sampled_from(["tell me", "go on", "what is new in town?"])), rule,
        max_tokens=draw(st.integers(1, 80)), ignore_end=draw(st.booleans()),
        min_tokens=draw(st.sampled_from([0, 0, 1])), logprobs=draw(st.sampled_from([0, 2])),
        temperature=draw(st.sampled_from([0.0, 1.0])), seed=draw(st.integers(0, 9)),
        stop=draw(st.sampled_from([(), ("winter",)])),
    )  # fmt: skip
    context = draw(st.sampled_from([8192, 40]))
    native = asyncio.run(grown(fake(context=context), request))
    lowered = asyncio.run(grown(fake(native=False, context=context), request))
    assert tree(native) == tree(lowered)
    check(native, request, rule)


def check(done: Collected, request: Request, rule: ForkRule) -> None:
    """The rules hold, whoever wrote the tree."""
    for branch in done.walk():
        ids, path = branch.ids, branch.branch.path
        own = ids[1:] if path else ids
        assert not path or ids[0] == rule.child
        assert rule.child not in own and len(path) <= rule.max_depth
        assert len(branch.children) <= min(rule.max_branches, ids.count(rule.fork))
        for at, one in enumerate(ids):
            assert one != rule.fork or ids[at - 1 : at] not in ([rule.fork], [rule.child])
        for number, below in enumerate(branch.children):
            assert below.branch.path == (*path, number)
            assert ids[below.branch.at - 1] == rule.fork


def test_replies_go_on_behind_a_fork() -> None:
    replies = {"Tell": "Fish§ Trade§ Done.", "Fish": " Boats go out.", "Trade": " Ships come."}
    for native in (True, False):
        backend = fake(native=native, reply=replies)
        request = ask("Tell me.", ForkRule(fork=MARK, child=BEGIN))
        done = asyncio.run(grown(backend, request))
        assert done.text == "Fish Trade Done."
        assert [child.text for child in done.children] == [" Boats go out.", " Ships come."]
        assert done.whole() == "Fish Boats go out. Trade Ships come. Done."
        assert WORDS.decode(done.ids) == "Fish§ Trade§ Done."
        assert len(backend.calls) == (1 if native else 5)


def test_a_parent_tells_of_a_fork_before_its_child_speaks() -> None:
    replies = {"Tell": "Fish§ Trade§ Done.", "Fish": " Boats", "Trade": " Ships"}
    rule = ForkRule(fork=MARK, child=BEGIN)

    async def seen(native: bool) -> None:
        ids: dict[tuple[int, ...], tuple[int, ...]] = {(): ()}
        ended = set()
        request = ask("Tell me.", rule)
        async for delta in generate_forking(fake(native=native, reply=replies), request):
            branch = delta.branch
            if branch.path not in ids:
                parent = ids[branch.parent]
                assert len(parent) == branch.at and parent[-1] == MARK
                assert delta.ids == (BEGIN,) and delta.text == ""
            assert branch.path not in ended
            ids[branch.path] = ids.get(branch.path, ()) + delta.ids
            if delta.finish is not None:
                ended.add(branch.path)
        assert ended == set(ids) and len(ids) == 3

    for native in (True, False):
        asyncio.run(seen(native))


def test_without_bans_a_branch_ends_where_it_says_what_it_must_not() -> None:
    rule = ForkRule(fork=MARK, child=BEGIN, max_depth=1)
    replies = {"Tell": "Fish§ Trade¶ lost", "Fish": " Boats§ lost"}
    done = asyncio.run(grown(fake(native=False, bans=False, reply=replies), ask("Tell", rule)))
    assert done.whole() == "Fish Boats Trade"
    assert [b.finish for b in done.walk()] == ["stop", "stop"]


def test_stretches_stay_within_the_limits() -> None:
    rule = ForkRule(fork=1, child=2, max_depth=1, max_branches=2)
    begin = Stretch(rule, Sampling(max_tokens=10, min_tokens=3, temperature=1, seed=5))
    assert begin.own_sampling() == begin.sampling and begin.bans.first == ()
    parent, child = begin.fork(4, 9)
    assert parent is not None and child is not None
    assert (child.branch.path, child.branch.at, child.branch.chars) == ((0,), 4, 9)
    assert parent.own_sampling().max_tokens == 6 and child.own_sampling().max_tokens == 5
    assert len({s.own_sampling().seed for s in (begin, parent, child)}) == 3
    assert child.bans.always == (2, 1) and parent.bans.first == (1,)
    after, second = parent.fork(4, 0)
    assert after is not None and second is not None and not after.may_fork
    last, none = after.fork(1, 0)
    assert last is not None and none is None and last.used == 9
    assert last.fork(1, 0) == (None, None)


def test_an_error_of_one_branch_ends_all() -> None:
    replies = {"Tell": "Fish§ Trade§ Done."}
    for native, after in ((True, 0), (False, 2)):
        backend = fake(native=native, reply=replies, die_after=after)
        with pytest.raises(BackendDiedError):
            asyncio.run(grown(backend, ask("Tell", ForkRule(fork=MARK, child=BEGIN))))


def test_closing_the_stream_ends_the_branches() -> None:
    async def run() -> None:
        backend = fake(native=False, latency=1.0)
        rule = ForkRule(fork=AND, child=THE)
        stream = generate_forking(backend, ask("tell me", rule, ignore_end=True))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_what_cannot_be_is_refused() -> None:
    rule = ForkRule(fork=1, child=2)
    for child, depth in ((1, 1), (2, 0)):
        with pytest.raises(BackendError):
            ForkRule(fork=1, child=child, max_depth=depth)
    with pytest.raises(BackendError):
        ask("x", rule, stop_ids=(1,))
    with pytest.raises(BackendError):
        replace(ask("x", rule), constraint=Constraint("regex", "a"))
    with pytest.raises(CapabilityError):
        asyncio.run(collect(fake(native=False).generate(ask("x", rule))))
