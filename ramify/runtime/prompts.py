"""The tokens of a node's prompt, for the backend that it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.backend.contract import Backend, TokenPrompt
from ramify.errors import CapabilityError
from ramify.ir import Prompted

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


def read_as_text(prompt: TokenPrompt, backend: Backend) -> str:
    """What to say of a prompt whose joined blocks the backend reads as text; empty otherwise."""
    if not prompt.blocks or backend.capabilities.parallel_blocks:
        return ""
    why = backend.capabilities.why_not("parallel_blocks")
    return f"{backend.name} reads joined blocks as text" + (f": {why}" if why else "")
