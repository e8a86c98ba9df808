"""The tokens of a node's prompt, for the backend that it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.backend.contract import Backend, TokenPrompt
from ramify.errors import CapabilityError
from ramify.ir import Node, Prompted
from ramify.runtime.outcome import Outcome

if TYPE_CHECKING:
    from ramify.runtime.run import Run


def rendered(run: Run, node: Prompted, backend: Backend) -> TokenPrompt:
    """The prompt of a node. Raises CapabilityError where it holds what the backend cannot read."""
    prompt = run.rendering(node.model, backend).render(node.prompt)
    if prompt.vectors and not backend.capabilities.embeddings_in:
        raise CapabilityError(
            f"the prompt holds vectors, and backend {backend.name!r} takes tokens only (it lacks "
            "embeddings_in).",
            hint="The embedded engine ('radix:PATH') has it.",
        )
    return prompt


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
