"""A node of the radix tree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ramify.backend.radix.slots import IntArray


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens. A root (parent None) has no tokens and stands for one salt, or for what
    stands before the first token where that is not text alone (see `blocks`)."""

    tokens: IntArray
    slots: IntArray
    parent: Node | None
    salt: str
    start: int = 0  # position of the first token
    computed: int = 0  # tokens whose KV is there; the rest is being computed
    refs: int = 0  # sequences whose path goes through this node
    last_use: int = 0  # on the tree's clock
    uses: int = 1  # how often its tokens came, siblings and quick successors not counted
    queued: int = 0  # number of its entry in the order of eviction; 0: it has none
    promised: int = 0  # steps of a plan until it is read again; 0: nothing is promised
    promised_at: int = 0  # on the tree's clock
    children: dict[int, Node] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """Position behind the last token."""
        return self.start + len(self.tokens)

    @property
    def ready(self) -> bool:
        """Whether all of its KV is there."""
        return self.computed == len(self.tokens)


def path_of(leaf: Node) -> list[Node]:
    """The nodes from the root to a node."""
    found = [leaf]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found[::-1]


def common_length(a: IntArray, b: IntArray) -> int:
    """Length of the longest common prefix."""
    size = min(len(a), len(b))
    different = np.flatnonzero(a[:size] != b[:size])
    return int(different[0]) if len(different) else size
