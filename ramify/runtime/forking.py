"""Generating an answer that forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.backend.contract import Backend, Request, Usage
from ramify.backend.fork_lowering import generate_forking
from ramify.backend.forks import ForkRule
from ramify.errors import CapabilityError
from ramify.ir import Forks, Generate
from ramify.runtime.fork_text import ForkText
from ramify.runtime.load import counted
from ramify.runtime.outcome import Outcome

if TYPE_CHECKING:
    from ramify.runtime.run import Run


def rule_of(forks: Forks, backend: Backend) -> ForkRule:
    """The rule in tokens; raises CapabilityError for a model that does not have them."""
    found = []
    for text in (forks.fork, forks.child):
        ids = backend.renderer.tokenizer.encode_control(text)
        if len(ids) != 1:
            raise CapabilityError(
                f"the model of {backend.name!r} has no token {text!r}: it was not trained to fork.",
                hint='Use organize="skeleton", or name its tokens: rf.patterns.fork_tokens.',
            )
        found.append(ids[0])
    return ForkRule(
        fork=found[0],
        child=found[1],
        max_depth=forks.max_depth,
        max_branches=forks.max_branches,
        keep=forks.keep,
    )


async def forked(run: Run, node: Generate, backend: Backend, request: Request) -> Outcome:
    """The outcome of a request whose answer may fork: its text in the order of reading.

    Events give the text in that order, too. Other nodes read it as text: it was not written in one
    piece, so it has no tokens of its own.
    """
    rule = request.fork
    assert rule is not None
    tree = ForkText(rule.fork)
    usage = Usage()
    cut = False
    with counted(backend):
        async for delta in generate_forking(backend, request):
            known = tree.count
            text = tree.take(delta)
            if tree.count > known:
                run.emit("grown", node, f"branch {'.'.join(map(str, delta.branch.path))}")
            if text:
                run.emit("delta", node, text)
            if delta.finish is not None:
                usage = usage + (delta.usage or Usage())
                cut = cut or delta.finish == "length"
    if rest := tree.end():
        run.emit("delta", node, rest)
    notes = [f"{tree.count} branches" if tree.count > 1 else "no fork"]
    if not backend.capabilities.fork_on_token:
        notes.append(f"{backend.name} cannot fork on a token: stopped and asked again")
    if cut:
        notes.append("cut at max_tokens")
    return Outcome(value=tree.text(), text=tree.text(), usage=usage, note="; ".join(notes))
