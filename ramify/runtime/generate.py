"""Generating: one answer, several samples, or an answer that forks."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ramify.backend.contract import Backend, Delta, Finish, Request, TokenPrompt, Usage
from ramify.backend.forks import ForkRule
from ramify.errors import CapabilityError, ConstraintError
from ramify.ir import Generate, Sampling
from ramify.runtime.agreement import compare
from ramify.runtime.forking import forked, rule_of
from ramify.runtime.load import counted
from ramify.runtime.outcome import Outcome
from ramify.runtime.prompts import label_of, noted, promise, read_as_text, rendered
from ramify.runtime.samples import collect_samples

if TYPE_CHECKING:
    from ramify.runtime.run import Run


async def generate(run: Run, node: Generate) -> Outcome:
    """The answer to a prompt, or several of them."""
    backend = run.backend(node)
    node = _enforceable(run, node, backend)
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
        noted(outcome, f"seed {sampling.seed}")
    return noted(outcome, read_as_text(prompt, backend))


def _enforceable(run: Run, node: Generate, backend: Backend) -> Generate:
    """The node as the backend can do it. Raises CapabilityError where it cannot, and must."""
    if node.constraint is None or node.constraint.kind in backend.capabilities.constraints:
        return node
    kind = node.constraint.kind
    if not node.lenient:
        able = ", ".join(sorted(backend.capabilities.constraints)) or "none"
        raise CapabilityError(
            f"backend {backend.name!r} cannot enforce a {kind}.",
            hint=f"It can enforce: {able}. The embedded engine ('radix:PATH') has all of them.",
        )
    run.say(node, f"{backend.name} cannot enforce a {kind}: asked without it")
    return replace(node, constraint=None)


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
    backend = run.backend(node)
    return Request(
        prompt=prompt,
        sampling=sampling,
        constraint=node.constraint,
        priority=run.priority(node),
        promise=promise(run, node, backend, len(prompt) + sampling.max_tokens),
        salt=run.policy.salt,
        label=label_of(run, node),
        tools=node.tools if backend.capabilities.tools else (),
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


def _parsed(node: Generate, text: str, finish: Finish | None) -> Any:
    assert node.parse is not None
    try:
        return node.parse(text)
    except ValueError as cause:
        cut = f"It was cut at max_tokens={node.sampling.max_tokens}; allow more."
        rule = "The schema has a rule that JSON cannot express, or the server does not enforce it."
        hint = cut if finish == "length" else rule
        problem = str(cause).split("\n")[0]
        raise ConstraintError(
            f"the answer {text[:60]!r} does not fit its schema: {problem}.", hint=hint
        ) from cause
