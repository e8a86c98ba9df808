"""The cost model: what a node costs alone. Seconds come from the backend's profile.

The few numbers that a profile does not have are guesses, and named here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from ramify.ir import (
    Call,
    Compress,
    Each,
    Generate,
    Node,
    Prompted,
    Rerank,
    Retrieve,
    Score,
    Select,
    View,
)
from ramify.planner.sizes import BRANCH, BRANCHES, Sizes

if TYPE_CHECKING:
    from ramify.backend.contract import Profile

# Seconds of work that no backend measures.
WORK_S: dict[type[Node], float] = {Retrieve: 0.01, Rerank: 0.05, Compress: 0.02, Call: 0.01}


def computes(node: Node) -> TypeGuard[Prompted]:
    """Whether a node reads its prompt on a backend."""
    return isinstance(node, Prompted) and type(node) is not View


def output_tokens(node: Node, sizes: Sizes) -> int:
    """Tokens that a backend writes for a node; for an `each`, guessed for its branches."""
    return sizes.values[node.id] if isinstance(node, Generate | Each) else 0


def scored_tokens(node: Node, sizes: Sizes) -> int:
    """Tokens of the options or continuations that a node reads after its prompt."""
    if isinstance(node, Select):
        return sizes.texts(node.options)
    return sizes.texts(node.continuations) if isinstance(node, Score) else 0


def seconds(node: Node, profile: Profile, computed: int, sizes: Sizes, batch: int = 1) -> float:
    """Seconds of one node: `computed` prompt tokens to prefill, then `batch` decoding together."""
    kind = type(node)
    if kind is Generate:
        steps: int = node.sampling.max_tokens  # type: ignore[attr-defined]
        return profile.prefill_s * computed + steps * profile.step_s(batch)
    if kind is Each:
        branches = sizes.values[node.id] // BRANCH
        steps_s = BRANCH * profile.step_s(min(branches or BRANCHES, profile.max_batch))
        return profile.prefill_s * computed + steps_s
    if computes(node):
        return profile.prefill_s * (computed + scored_tokens(node, sizes)) + profile.step_s(1)
    return WORK_S.get(kind, 0.0)
