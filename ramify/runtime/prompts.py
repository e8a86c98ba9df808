"""The tokens of a node's prompt, for the backend that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ramify.backend.contract import Backend, Promise, TokenPrompt
from ramify.errors import CapabilityError
from ramify.ir import Close, Generate, Node, Open, Prompt, Prompted, Text, Tool
from ramify.ir.tools import describe
from ramify.runtime.outcome import Outcome

if TYPE_CHECKING:
    from ramify.runtime.run import Run


def rendered(run: Run, node: Prompted, backend: Backend) -> TokenPrompt:
    """The prompt of a node. Raises CapabilityError where it holds what the backend cannot read."""
    asked = node.prompt
    if isinstance(node, Generate) and node.tools and not backend.capabilities.tools:
        asked = told_of(asked, node.tools)
    prompt = run.rendering(node.model, backend).render(asked)
    if prompt.vectors and not backend.capabilities.embeddings_in:
        raise CapabilityError(
            f"the prompt holds vectors, and backend {backend.name!r} takes tokens only (it lacks "
            "embeddings_in).",
            hint="The embedded engine ('radix:PATH') has it.",
        )
    return prompt


def promise(run: Run, node: Prompted, backend: Backend, length: int) -> Promise | None:
    """What the plan promises of a node's prompt, which has so many tokens with its answer."""
    found = run.rereads.get(node.id)
    if found is None or not backend.capabilities.promises:
        return None
    if isinstance(node, Generate) and node.tools:
        return None
    if found.answer:
        return Promise(length, found.steps)
    return Promise(run.rendering(node.model, backend).count(found.prompt), found.steps)


def told_of(prompt: Prompt, tools: Sequence[Tool]) -> Prompt:
    """The prompt with the tools in words at its start: in its system message, or in one of its
    own. At the start, so that all prompts with these tools begin alike."""
    segments = prompt.segments()
    words = describe(tools)
    if segments and segments[0] == Open("system"):
        end = segments.index(Close("system"))
        return Prompt().append(*segments[:end], Text((f"\n\n{words}",)), *segments[end:])
    return Prompt().append(Open("system"), Text((words,)), Close("system"), *segments)


def label_of(run: Run, node: Node) -> str:
    """Who asks: the scope and the node, for errors and traces."""
    return f"{node.scope or run.graph.program}/{node.label}"


def noted(outcome: Outcome, more: str) -> Outcome:
    """The outcome with something more to be said of it."""
    if more:
        outcome.note = f"{outcome.note}; {more}" if outcome.note else more
    return outcome


def read_as_text(prompt: TokenPrompt, backend: Backend) -> str:
    """What to say of a prompt whose joined blocks the backend reads as text; empty otherwise."""
    if not prompt.blocks or backend.capabilities.parallel_blocks:
        return ""
    why = backend.capabilities.why_not("parallel_blocks")
    return f"{backend.name} reads joined blocks as text" + (f": {why}" if why else "")
