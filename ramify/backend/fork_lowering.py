"""Fork on token for any backend: stop at the token, go on with new requests.

Twin of what an engine does by itself: the same tree and the same texts, at the price of a request
per stretch, each of which finds the one before it in the prefix cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import cast

from ramify.backend.contract import Backend, Delta, Request, TokenPrompt, Usage
from ramify.backend.forks import NO_BANS, ForkRule, Stretch


def generate_forking(backend: Backend, request: Request) -> AsyncIterator[Delta]:
    """Stream a generation whose request may carry a `ForkRule`, whatever the backend can do.

    Without `fork_on_token` it is lowered. That is exact where the backend has `token_bans` and
    reports the token that stopped an answer (`Delta.stop_id`); without bans, a branch ends where
    it says a token that it must not say. The first error ends all branches.
    """
    if request.fork is None or backend.capabilities.fork_on_token:
        return backend.generate(request)
    return _lowered(backend, request, request.fork)


@dataclass(slots=True)
class _Tree:
    """What the branches of one request share."""

    backend: Backend
    request: Request
    rule: ForkRule
    out: asyncio.Queue[Delta | None]
    tasks: asyncio.TaskGroup
    begun: float = field(default_factory=perf_counter)


async def _lowered(backend: Backend, request: Request, rule: ForkRule) -> AsyncIterator[Delta]:
    room = min(request.sampling.max_tokens, backend.profile().context - len(request.prompt))
    sampling = replace(
        request.sampling,
        max_tokens=max(1, room),
        min_tokens=min(request.sampling.min_tokens, max(1, room)),
    )
    out: asyncio.Queue[Delta | None] = asyncio.Queue()

    async def run() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tree = _Tree(backend, request, rule, out, tasks)
                await _branch(tree, Stretch(rule, sampling), request.prompt.ids)
        finally:
            out.put_nowait(None)

    task = asyncio.create_task(run())
    try:
        while (delta := await out.get()) is not None:
            yield delta
        try:
            await task
        except BaseExceptionGroup as group:
            raise _first(group) from None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _branch(tree: _Tree, begin: Stretch, ids: tuple[int, ...]) -> None:
    """One branch to its end; `ids` are the prompt and the path to here."""
    stretch: Stretch | None = begin
    main = not begin.branch.path
    usage = Usage(output_tokens=begin.own)
    while stretch is not None:
        written: list[int] = []
        chars = 0
        last = Delta()
        async with aclosing(_stretch(tree, stretch, ids)) as deltas:
            async for delta in deltas:
                written += delta.ids
                chars += len(delta.text)
                usage = _begun(tree, usage)
                last = delta
                if delta.finish is None:
                    tree.out.put_nowait(replace(delta, branch=begin.branch))
        spent = last.usage or Usage()
        if main and stretch.used == 0:
            usage = replace(
                usage, prompt_tokens=spent.prompt_tokens, cached_tokens=spent.cached_tokens
            )
        usage = replace(usage, output_tokens=usage.output_tokens + spent.output_tokens)
        forks = last.stop_id == tree.rule.fork and _allowed(stretch, not written)
        if not forks:
            tree.out.put_nowait(replace(last, usage=_ended(tree, usage), branch=begin.branch))
            return
        usage = replace(usage, output_tokens=usage.output_tokens + 1)
        ids = (*ids, *written, tree.rule.fork)
        stretch, child = stretch.fork(len(written) + 1, chars)
        delta = Delta((*last.ids, tree.rule.fork), last.text, logprobs=last.logprobs)
        if stretch is None:
            delta = replace(delta, finish="length", usage=_ended(tree, usage))
        tree.out.put_nowait(replace(delta, branch=begin.branch))
        if child is not None:
            tree.out.put_nowait(Delta((tree.rule.child,), branch=child.branch))
            tree.tasks.create_task(_branch(tree, child, (*ids, tree.rule.child)))


def _allowed(stretch: Stretch, first: bool) -> bool:
    """Whether a fork may be here: a backend without bans says it also where it must not."""
    fork, bans = stretch.rule.fork, stretch.bans
    return fork not in bans.always and not (first and fork in bans.first)


def _begun(tree: _Tree, usage: Usage) -> Usage:
    return usage if usage.first_token_s else replace(usage, first_token_s=_seconds(tree))


def _ended(tree: _Tree, usage: Usage) -> Usage:
    return replace(_begun(tree, usage), total_s=_seconds(tree))


def _seconds(tree: _Tree) -> float:
    return perf_counter() - tree.begun


async def _stretch(tree: _Tree, stretch: Stretch, ids: tuple[int, ...]) -> AsyncGenerator[Delta]:
    """The request for one stretch."""
    banning = tree.backend.capabilities.token_bans
    stops = (tree.rule.fork,) if banning else (tree.rule.fork, tree.rule.child)
    sampling = stretch.own_sampling()
    request = replace(
        tree.request,
        prompt=TokenPrompt(ids, tree.request.prompt.blocks),
        sampling=replace(sampling, stop_ids=(*sampling.stop_ids, *stops)),
        bans=stretch.bans if banning else NO_BANS,
        fork=None,
    )
    async with aclosing(cast(AsyncGenerator[Delta], tree.backend.generate(request))) as deltas:
        async for delta in deltas:
            yield delta
