"""Counts how much of a prompt was seen before: a small radix tree over token ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import count

from ramify.backend.contract import TokenPrompt

Ids = tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Node:
    ids: Ids
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)
    used: int = 0


class PrefixTree:
    """Token sequences as a radix tree; over `capacity` tokens the least recently used leaves go."""

    def __init__(self, capacity: int) -> None:
        self._root = _Node((), None)
        self._capacity = capacity
        self._clock = count(1)
        self.size = 0

    def insert(self, ids: Ids) -> int:
        """Add a sequence; how many of its first tokens were there already."""
        now = next(self._clock)
        node, at = self._root, 0
        while at < len(ids):
            child = node.children.get(ids[at])
            if child is None:
                node.children[ids[at]] = _Node(ids[at:], node, used=now)
                self.size += len(ids) - at
                break
            same = _common(child.ids, ids, at)
            if same < len(child.ids):
                child = self._split(child, same)
            child.used = now
            node, at = child, at + same
        if self.size > self._capacity:
            self._evict()
        return at

    def _split(self, node: _Node, size: int) -> _Node:
        """Cut a node in two; the upper one is given back."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.ids[:size], parent, {node.ids[size]: node}, node.used)
        parent.children[upper.ids[0]] = upper
        node.ids, node.parent = node.ids[size:], upper
        return upper

    def _evict(self) -> None:
        while self.size > self._capacity * 3 // 4:
            leaves: list[_Node] = []
            stack = [self._root]
            while stack:
                node = stack.pop()
                stack += node.children.values()
                if not node.children and node.parent is not None:
                    leaves.append(node)
            for leaf in nsmallest(1 + len(leaves) // 4, leaves, key=lambda node: node.used):
                assert leaf.parent is not None
                del leaf.parent.children[leaf.ids[0]]
                self.size -= len(leaf.ids)

    def check(self) -> None:
        """Raise AssertionError where the tree is not a radix tree of its size."""
        size = 0
        stack = [self._root]
        while stack:
            node = stack.pop()
            size += len(node.ids)
            for first, child in node.children.items():
                assert child.ids and child.ids[0] == first and child.parent is node
                stack.append(child)
        assert size == self.size


def _common(a: Ids, ids: Ids, at: int) -> int:
    """How many tokens `a` and `ids[at:]` have in common at their front."""
    high = min(len(a), len(ids) - at)
    if a[:high] == ids[at : at + high]:
        return high
    low = 0  # a[:low] is common, a[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == ids[at + low : at + middle]:
            low = middle
        else:
            high = middle
    return low


class PrefixCache:
    """What was computed before, by salt: a prefix tree each, sharing one bound."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._trees: dict[str, PrefixTree] = {}

    def insert(self, prompt: TokenPrompt, salt: str, parallel: bool, answer: Ids = ()) -> int:
        """Add a prompt and its answer; how many tokens of the prompt were there already.

        With `parallel`, a block is found wherever it stood behind the same prefix.
        """
        tree = self._trees.get(salt)
        if tree is None:
            if sum(tree.size for tree in self._trees.values()) > self._capacity:
                self._trees.clear()
            tree = self._trees[salt] = PrefixTree(self._capacity)
        if not prompt.blocks or not parallel:
            return min(tree.insert(prompt.ids + answer), len(prompt))
        path: Ids = ()  # the sequence so far, groups of blocks fenced by -1
        base: Ids = ()
        known = position = 0
        group = -1
        for span in prompt.blocks:
            if span.start < position:
                continue  # inside a block that was counted as a whole
            if span.group != group or span.start > position:
                step = prompt.ids[position : span.start]
                base = path + step
                known += max(0, tree.insert(base) - len(path))
                path, group = base, span.group
            block = prompt.ids[span.start : span.stop]
            known += max(0, tree.insert(base + block) - len(base))
            path += (-1, *block)
            position = span.stop
        path += (-1,)
        rest = prompt.ids[position:]
        known += max(0, min(tree.insert(path + rest + answer) - len(path), len(rest)))
        return known

    def check(self) -> None:
        """Raise AssertionError where a tree is broken."""
        for tree in self._trees.values():
            tree.check()
