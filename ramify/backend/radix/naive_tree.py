"""The radix tree's naive twin: nothing is ever shared. The oracle of tests, and `cache=False`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ramify.backend.radix.node import Node, path_of
from ramify.backend.radix.slots import NO_SLOTS, IntArray, SlotAllocator


class NaiveTree:
    """Every sequence has a path of its own, which is freed when it is released."""

    def __init__(self, slots: SlotAllocator) -> None:
        self._slots = slots
        self._paths: dict[int, Node] = {}
        self.nodes = 0
        self.total = 0
        self.evicted = 0

    @property
    def locked(self) -> int:
        """Tokens on the path of some sequence: all."""
        return self.total

    @property
    def evictable(self) -> int:
        """Tokens that no sequence uses: none."""
        return 0

    def lookup(self, salt: str, tokens: IntArray) -> int:
        """Nothing is known."""
        return 0

    def lock(self, salt: str, tokens: IntArray, *, start: int = 0) -> Node:
        """A new root."""
        root = Node(NO_SLOTS, NO_SLOTS, None, salt, start, refs=1)
        self._paths[id(root)] = root
        return root

    def admitted(self, leaf: Node, tokens: IntArray) -> list[tuple[int, int]]:
        """It remembers nothing."""
        return []

    def promise(self, leaf: Node, tokens: int, steps: int) -> None:
        """It keeps nothing."""

    def extend(
        self, leaf: Node, tokens: IntArray, slots: IntArray, *, ready: bool = False, uses: int = 1
    ) -> Node:
        """Put tokens below a locked node; the lock moves to what is returned."""
        del self._paths[id(leaf)]
        node = Node(tokens, slots, leaf, leaf.salt, leaf.stop, refs=1)
        node.computed = len(tokens) if ready else 0
        self._paths[id(node)] = node
        self.total += len(tokens)
        self.nodes += 1
        return node

    def commit(self, leaf: Node, tokens: IntArray, slots: IntArray) -> Node:
        """Put computed tokens below a locked node."""
        return self.extend(leaf, tokens, slots, ready=True) if len(tokens) else leaf

    def path_slots(self, leaf: Node) -> IntArray:
        """The slots of all tokens from the root to the end of a node."""
        return np.concatenate([node.slots for node in path_of(leaf)])

    def pending(self, leaf: Node) -> list[Node]:
        """The nodes of the path that are not computed yet, in order."""
        return [node for node in path_of(leaf) if not node.ready]

    def release(self, leaf: Node) -> None:
        """Free the path."""
        del self._paths[id(leaf)]
        for node in path_of(leaf):
            self._slots.give(node.slots)
            self.total -= len(node.tokens)
            self.nodes -= node.parent is not None

    def forget(self, leaf: Node, floor: int = 0) -> None:
        """Free the path."""
        self.release(leaf)

    def evict(self, count: int) -> int:
        """There is never anything to evict."""
        return 0

    def clear(self) -> int:
        """There is never anything to evict."""
        return 0

    def check(self, leaves: Iterable[Node]) -> None:
        """Raise AssertionError where paths and sequences disagree."""
        assert {id(leaf) for leaf in leaves} == set(self._paths)
        nodes = [node for leaf in self._paths.values() for node in path_of(leaf)]
        assert self.total == sum(len(node.tokens) for node in nodes)
        assert self.nodes == sum(node.parent is not None for node in nodes)
