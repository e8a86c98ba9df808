"""Doing one node: a function per kind of work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ramify.backend.contract import Usage
from ramify.backend.views import messages_view, text_view
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
    Score,
    Select,
    View,
)
from ramify.runtime.choose import choose
from ramify.runtime.fan import each, first
from ramify.runtime.generate import generate
from ramify.runtime.outcome import Outcome, text_of
from ramify.runtime.prompts import label_of, noted, promise, read_as_text, rendered
from ramify.runtime.user_code import at_home, is_async, user_code

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


async def _select(run: Run, node: Select) -> Outcome:
    backend = run.backend(node)
    prompt = rendered(run, node, backend)
    chosen = await choose(
        backend,
        prompt,
        node.options,
        node.method,
        priority=run.priority(node),
        promise=promise(run, node, backend, len(prompt)),  # of the options, only one is read again
        salt=run.policy.salt,
        label=label_of(run, node),
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
    return noted(outcome, read_as_text(prompt, backend))


async def _score(run: Run, node: Score) -> Outcome:
    backend = run.backend(node)
    prompt = rendered(run, node, backend)
    chosen = await choose(
        backend,
        prompt,
        node.continuations,
        "likelihood",
        priority=run.priority(node),
        promise=promise(run, node, backend, len(prompt)),
        salt=run.policy.salt,
        label=label_of(run, node),
    )
    outcome = Outcome(value=list(chosen.scores), usage=chosen.usage)
    return noted(outcome, read_as_text(prompt, backend))


async def _view(run: Run, node: View) -> Outcome:
    if node.kind == "text":
        text = text_view(node.prompt, run.outcomes)
        return Outcome(value=text, text=text)
    return Outcome(value=messages_view(node.prompt, run.outcomes))


async def _compress(run: Run, node: Compress) -> Outcome:
    source = run.outcomes.operand(node.source)
    question = run.outcomes.operand(node.question)
    compressor = node.compressor
    if hasattr(compressor, "for_backend"):  # a ForModel: only one model can read its results
        compressor = compressor.for_backend(run.backends[""])
    short = await compressor.compress(
        source if hasattr(source, "__iter__") else text_of(source),
        question=None if question is None else text_of(question),
        rate=node.rate,
        tokens=node.tokens,
        count=run.backends[""].renderer.count_text,
    )
    note = f"{short.tokens_before} to {short.tokens_after} tokens"
    if short.mixed is not None:
        note += ", vectors"
    return Outcome(value=short, text=str(short), note=note)


async def _retrieve(run: Run, node: Retrieve) -> Outcome:
    query = text_of(run.outcomes.operand(node.query))
    found = await node.index.search(query, node.k, **dict(node.options))
    return Outcome(value=found, text=str(found), note=f"{len(found)} passages")


async def _rerank(run: Run, node: Rerank) -> Outcome:
    passages = run.outcomes.operand(node.passages)
    query = text_of(run.outcomes.operand(node.query))
    if passages is None:  # under best effort, what finds them failed
        return Outcome(text="", note="no passages")
    kept = await node.reranker.rank(passages, query, node.k)
    return Outcome(value=kept, text=str(kept), note=f"{len(kept)} of {len(passages)} passages")


async def _call(run: Run, node: Call) -> Outcome:
    read = run.outcomes.settled if node.settled else run.outcomes.operand
    args = [read(operand) for operand in node.args]
    kwargs = {name: read(operand) for name, operand in node.kwargs}
    if node.pure and not is_async(node.function):
        value = node.function(*args, **kwargs)  # declared cheap and free of effects
        value = await at_home(run, value) if inspect.iscoroutine(value) else value
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
    Generate: generate,
    Rerank: _rerank,
    Retrieve: _retrieve,
    Score: _score,
    Select: _select,
    View: _view,
}
