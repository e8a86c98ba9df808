"""Doing one node: a function per kind of work."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ramify.backend.contract import Backend, Delta, Finish, Request, TokenPrompt, Usage
from ramify.backend.forks import ForkRule
from ramify.backend.views import messages_view, text_view
from ramify.errors import CapabilityError, ConstraintError
from ramify.ir import (
    Alias,
    Call,
    Compress,
    Each,
    First,
    Generate,
    Node,
    Rerank,
    Retrieve,
    Sampling,
    Score,
    Select,
    View,
)
from ramify.runtime.agreement import compare
from ramify.runtime.choose import choose
from ramify.runtime.fan import each, first
from ramify.runtime.forking import forked, rule_of
from ramify.runtime.load import counted
from ramify.runtime.outcome import Outcome, text_of
from ramify.runtime.prompts import read_as_text, rendered
from ramify.runtime.samples import collect_samples
from ramify.runtime.user_code import user_code

if TYPE_CHECKING:
    from ramify.runtime.run import Run


async def perform(run: Run, node: Node) -> Outcome:
    """Do the work of a node, again where the retry policy allows it."""
    attempt = 1
    while True:
        try:
            return await _WORK[type(node)](run, node)
        except Exception as error:
            if not run.policy.retry.allows(error, attempt):
                raise
            run.emit("retried", node, str(error))
            await asyncio.sleep(run.policy.retry.wait_s(attempt))
            attempt += 1


def _label(run: Run, node: Node) -> str:
    return f"{node.scope or run.graph.program}/{node.label}"


async def _generate(run: Run, node: Generate) -> Outcome:
    backend = run.backend(node)
    left_out = ""
    if node.constraint is not None:
        kind = node.constraint.kind
        if kind not in backend.capabilities.constraints:
            left_out = f"{backend.name} cannot enforce a {kind}: asked without it"
        if left_out and not node.lenient:
            able = ", ".join(sorted(backend.capabilities.constraints)) or "none"
            raise CapabilityError(
                f"backend {backend.name!r} cannot enforce a {kind}.",
                hint=f"It can enforce: {able}. The embedded engine ('radix:PATH') has all of them.",
            )
    if left_out:
        node = replace(node, constraint=None)
        run.say(node, left_out)
    prompt = rendered(run, node, backend)
    sampling = node.sampling
    if not sampling.deterministic:
        sampling = replace(sampling, seed=random.getrandbits(31))
    if node.forks is not None:
        rule = rule_of(node.forks, backend)
        outcome = await forked(run, node, backend, _request(run, node, prompt, sampling, rule))
    elif node.samples == 1:
        outcome = await _one_sample(run, node, backend, prompt, sampling, stream=True)
    elif backend.capabilities.samples and not run.policy.compare_joins:
        request = _request(run, node, prompt, sampling)
        with counted(backend):
            found = await collect_samples(backend, request, node.samples)
        outcome = Outcome(
            value=[
                one.text if node.parse is None else _parsed(node, one.text, one.finish)
                for one in found
            ],
            usage=sum((one.usage for one in found), Usage()),
        )
    else:
        seeds = [_seeded(sampling, i) for i in range(node.samples)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_one_sample(run, node, backend, prompt, s, stream=False))
                    for s in seeds
                ]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        parts = [task.result() for task in tasks]
        outcome = Outcome(
            value=[part.value for part in parts],
            usage=sum((part.usage for part in parts), Usage()),
        )
    if node.sampling.seed is None and sampling.seed is not None:
        outcome.note = f"seed {sampling.seed}"
    return _noted(outcome, read_as_text(prompt, backend))


def _seeded(sampling: Sampling, sample: int) -> Sampling:
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + sample)


def _request(
    run: Run,
    node: Generate,
    prompt: TokenPrompt,
    sampling: Sampling,
    fork: ForkRule | None = None,
    *,
    stream: bool = True,
) -> Request:
    return Request(
        prompt=prompt,
        sampling=sampling,
        constraint=node.constraint,
        priority=run.priority(node),
        salt=run.policy.salt,
        label=_label(run, node),
        fork=fork,
        stream=stream,
    )


async def _one_sample(
    run: Run,
    node: Generate,
    backend: Backend,
    prompt: TokenPrompt,
    sampling: Sampling,
    stream: bool,
) -> Outcome:
    request = _request(run, node, prompt, sampling, stream=stream and run.sink is not None)
    ids: list[int] = []
    texts: list[str] = []
    last = Delta()
    with counted(backend):
        async for delta in backend.generate(request):
            ids += delta.ids
            if delta.text:
                texts.append(delta.text)
                if stream:
                    run.emit("delta", node, delta.text)
            last = delta
    note = "cut at max_tokens" if last.finish == "length" else ""
    if run.policy.compare_joins and prompt.blocks and backend.capabilities.parallel_blocks:
        agreement = await compare(backend, request, tuple(ids))
        run.joins.append(agreement)
        note = f"{note}; {agreement}" if note else str(agreement)
    text = "".join(texts)
    value: Any = text
    if node.parse is not None:
        value = _parsed(node, text, last.finish)
    return Outcome(
        value=value,
        text=text,
        ids=tuple(ids),
        tokenizer=backend.renderer.tokenizer.name,
        usage=last.usage or Usage(),
        note=note,
    )


def _noted(outcome: Outcome, more: str) -> Outcome:
    """The outcome with something more to be said of it."""
    if more:
        outcome.note = f"{outcome.note}; {more}" if outcome.note else more
    return outcome


def _parsed(node: Generate, text: str, finish: Finish | None) -> Any:
    assert node.parse is not None
    try:
        return node.parse(text)
    except ValueError as cause:
        cut = f"It was cut at max_tokens={node.sampling.max_tokens}; allow more."
        hint = cut if finish == "length" else "The schema has a rule that JSON cannot express."
        problem = str(cause).split("\n")[0]
        raise ConstraintError(
            f"the answer {text[:60]!r} does not fit its schema: {problem}.", hint=hint
        ) from cause


async def _select(run: Run, node: Select) -> Outcome:
    backend = run.backend(node)
    prompt = rendered(run, node, backend)
    chosen = await choose(
        backend,
        prompt,
        node.options,
        node.method,
        priority=run.priority(node),
        salt=run.policy.salt,
        label=_label(run, node),
    )
    scores = ", ".join(f"{o}: {s:.3f}" for o, s in zip(node.options, chosen.scores, strict=True))
    outcome = Outcome(
        value=chosen.option,
        text=chosen.option,
        ids=chosen.ids,
        tokenizer=backend.renderer.tokenizer.name,
        usage=chosen.usage,
        note=scores,
    )
    return _noted(outcome, read_as_text(prompt, backend))


async def _score(run: Run, node: Score) -> Outcome:
    backend = run.backend(node)
    prompt = rendered(run, node, backend)
    chosen = await choose(
        backend,
        prompt,
        node.continuations,
        "likelihood",
        priority=run.priority(node),
        salt=run.policy.salt,
        label=_label(run, node),
    )
    outcome = Outcome(value=list(chosen.scores), usage=chosen.usage)
    return _noted(outcome, read_as_text(prompt, backend))


async def _view(run: Run, node: View) -> Outcome:
    if node.kind == "text":
        text = text_view(node.prompt, run.outcomes)
        return Outcome(value=text, text=text)
    return Outcome(value=messages_view(node.prompt, run.outcomes))


async def _compress(run: Run, node: Compress) -> Outcome:
    source = run.outcomes.operand(node.source)
    question = run.outcomes.operand(node.question)
    short = await node.compressor.compress(
        source if hasattr(source, "__iter__") else text_of(source),
        question=None if question is None else text_of(question),
        rate=node.rate,
        tokens=node.tokens,
        count=run.backends[""].renderer.count_text,
    )
    note = f"{short.tokens_before} to {short.tokens_after} tokens"
    return Outcome(value=short, text=str(short), note=note)


async def _retrieve(run: Run, node: Retrieve) -> Outcome:
    query = text_of(run.outcomes.operand(node.query))
    found = await node.index.search(query, node.k, **dict(node.options))
    return Outcome(value=found, text=str(found), note=f"{len(found)} passages")


async def _rerank(run: Run, node: Rerank) -> Outcome:
    passages = run.outcomes.operand(node.passages)
    query = text_of(run.outcomes.operand(node.query))
    kept = await node.reranker.rank(passages, query, node.k)
    return Outcome(value=kept, text=str(kept), note=f"{len(kept)} of {len(passages)} passages")


async def _call(run: Run, node: Call) -> Outcome:
    read = run.outcomes.settled if node.settled else run.outcomes.operand
    args = [read(operand) for operand in node.args]
    kwargs = {name: read(operand) for name, operand in node.kwargs}
    if node.pure and not inspect.iscoroutinefunction(node.function):
        value = node.function(*args, **kwargs)  # declared cheap and free of effects
    else:
        value = await user_code(run, node.function, *args, **kwargs)
    note: str = getattr(value, "__ramify_note__", "")
    if note:
        run.say(node, note)
    return Outcome(value=value, text=text_of(value), note=note)


async def _alias(run: Run, node: Alias) -> Outcome:
    return replace(run.outcomes.by_id[node.of], usage=Usage(), status="merged")


_WORK: dict[type[Node], Callable[[Run, Any], Awaitable[Outcome]]] = {
    Alias: _alias,
    Call: _call,
    Compress: _compress,
    Each: each,
    First: first,
    Generate: _generate,
    Rerank: _rerank,
    Retrieve: _retrieve,
    Score: _score,
    Select: _select,
    View: _view,
}
