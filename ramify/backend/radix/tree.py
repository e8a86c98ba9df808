"""The radix tree: which tokens have KV, or are about to, and in which slots.

Requests enter the tree when they are *admitted*, not when they are finished, so that siblings in
flight share: `Node.computed` says how far a node's KV is. The idea of a radix tree over KV is
SGLang's (arXiv:2312.07104). Nothing here runs per token in Python, and nothing recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ramify.backend.radix.check_nodes import check_nodes
from ramify.backend.radix.eviction import HeapOrder, Order, evictable, least_recently_used
from ramify.backend.radix.node import Node, common_length, path_of
from ramify.backend.radix.slots import NO_SLOTS, IntArray, SlotAllocator


class RadixTree:
    """Shares KV among all sequences of one salt; holds what is not in use until it is evicted."""

    def __init__(self, slots: SlotAllocator, order: Order | None = None) -> None:
        """`order` of eviction; without one it is that of least recent use."""
        self._slots = slots
        self._order = HeapOrder(least_recently_used) if order is None else order
        self._roots: dict[str, Node] = {}
        self._tick = 0  # a clock: goes with every use, and by each token that comes in
        self.nodes = 0
        self.total = 0  # tokens in the tree
        self.locked = 0  # tokens on the path of some sequence
        self.evicted = 0  # tokens evicted so far
        self.spill: Callable[[Node], None] | None = None  # told of a node before its end is evicted

    @property
    def evictable(self) -> int:
        """Tokens that no sequence uses."""
        return self.total - self.locked

    def lookup(self, salt: str, tokens: IntArray) -> int:
        """How many leading tokens are in the tree, computed or about to be."""
        return self._walk(salt, tokens)[1]

    def lock(self, salt: str, tokens: IntArray, *, start: int = 0) -> Node:
        """The node at which the longest known prefix of `tokens` ends, locked with its path.

        `start` is the position of the first token; the same for all of one salt.
        """
        node, length, inside = self._walk(salt, tokens, start)
        if inside:
            node = self._split(node, inside)
        if node.parent is None:
            self._roots.setdefault(salt, node)
        assert node.stop == start + length
        self._add_ref(node)
        return node

    def admitted(self, leaf: Node, tokens: IntArray) -> list[tuple[int, int]]:
        """Tell the order of eviction that a sequence with these tokens has come, of which the path
        to `leaf` is locked; see `Order.seen`."""
        runs = self._order.seen(leaf.salt, tokens, self._tick)
        node: Node | None = leaf
        while node is not None:
            node.promised = 0  # kept, now
            if node.refs == 1 and self._tick - node.last_use >= self._order.visit:
                node.uses += 1
            node = node.parent
        return runs

    def promise(self, leaf: Node, tokens: int, steps: int) -> None:
        """Note on a locked path that its first tokens are read again after so many steps."""
        node: Node | None = leaf
        while node is not None and node.parent is not None:
            if node.start < tokens:
                upper = self._split(node, tokens - node.start) if node.stop > tokens else node
                sooner = 0 < upper.promised < steps
                upper.promised = upper.promised if sooner else steps
                upper.promised_at = self._tick
            node = node.parent

    def extend(
        self, leaf: Node, tokens: IntArray, slots: IntArray, *, ready: bool = False, uses: int = 1
    ) -> Node:
        """Put tokens below a node that the caller has locked; the lock moves to what is returned.

        None of the node's children may begin with the first token.
        """
        alone = leaf.refs == 1 and not leaf.children and leaf.ready and leaf.parent is not None
        if alone and leaf.uses == uses:  # a chat that goes on stays one node
            leaf.tokens = np.concatenate((leaf.tokens, tokens))
            leaf.slots = np.concatenate((leaf.slots, slots))
            node = leaf
        else:
            node = Node(
                tokens, slots, leaf, leaf.salt, leaf.stop, refs=1, last_use=self._tick, uses=uses
            )
            leaf.children[int(tokens[0])] = node
            self.nodes += 1
        self.total += len(tokens)
        self.locked += len(tokens)
        self._tick += len(tokens)
        if ready:
            node.computed = len(node.tokens)
        return node

    def commit(self, leaf: Node, tokens: IntArray, slots: IntArray) -> Node:
        """Put computed tokens below a locked node; the lock moves to the end of what is kept.

        Slots of tokens that the tree has already are given back, and so is the rest where the
        tree is still computing the same tokens for another sequence: the returned node then stops
        early. The caller must read the slots of the path anew.
        """
        at = 0
        while at < len(tokens):
            child = leaf.children.get(int(tokens[at]))
            if child is None:
                return self.extend(leaf, tokens[at:], slots[at:], ready=True)
            if not child.ready:
                self._slots.give(slots[at:])
                return leaf
            same = common_length(child.tokens, tokens[at:])
            leaf = self._split(child, same) if same < len(child.tokens) else child
            if leaf.refs == 0:
                self.locked += same
            leaf.refs += 1
            self._slots.give(slots[at : at + same])
            at += same
        return leaf

    def path_slots(self, leaf: Node) -> IntArray:
        """The slots of all tokens from the root to the end of a node."""
        return np.concatenate([node.slots for node in path_of(leaf)])

    def pending(self, leaf: Node) -> list[Node]:
        """The nodes of the path that are not computed yet, in order."""
        found = []
        node: Node | None = leaf
        while node is not None and not node.ready:
            found.append(node)
            node = node.parent
        return found[::-1]

    def release(self, leaf: Node) -> None:
        """Unlock a path. What was not computed leaves the tree, the rest may be evicted later."""
        self._tick += 1
        node: Node | None = leaf
        while node is not None:
            node.refs -= 1
            node.last_use = self._tick
            if node.refs == 0:
                self.locked -= len(node.tokens)
            node = node.parent
        node = leaf
        while node.parent is not None and node.refs == 0 and not node.children and not node.ready:
            parent = node.parent
            self._trim(node, node.computed)
            if len(node.tokens):
                break
            node = parent
        self._queue(node)

    def forget(self, leaf: Node, floor: int = 0) -> None:
        """Unlock a path and drop what lies behind its first `floor` tokens, as far as no other
        sequence uses it."""
        self.release(leaf)
        node = leaf
        while node.parent is not None and node.refs == 0 and not node.children:
            parent = node.parent
            keep = max(0, floor - node.start)
            if keep < len(node.tokens):  # an empty one went when it was released
                self._trim(node, keep)
            if keep:
                break
            node = parent
        self._queue(node)

    def evict(self, count: int) -> int:
        """Free at least `count` slots of unused tokens, ends of leaves first; returns how many."""
        freed, grain = 0, self._order.grain
        while freed < count:
            node = self._order.pop(self._tick)
            if node is None:
                break
            drop = min(len(node.tokens), count - freed)
            if grain is not None:
                drop = min(drop, (node.stop - 1) % grain + 1)
            parent = node.parent
            assert parent is not None
            if self.spill is not None:
                self.spill(node)
            self._trim(node, len(node.tokens) - drop)
            self._queue(node if len(node.tokens) else parent)
            freed += drop
        self.evicted += freed
        return freed

    def clear(self) -> int:
        """Drop everything that no sequence uses; returns the number of tokens."""
        spill, self.spill = self.spill, None
        try:
            return self.evict(self.evictable)
        finally:
            self.spill = spill

    def _walk(self, salt: str, tokens: IntArray, start: int = 0) -> tuple[Node, int, int]:
        """Longest match: (node, matched tokens, matched tokens inside the node if it is cut)."""
        root = self._roots.get(salt)
        if root is None:
            return Node(NO_SLOTS, NO_SLOTS, None, salt, start), 0, 0
        node, at = root, 0
        while at < len(tokens):
            child = node.children.get(int(tokens[at]))
            if child is None:
                break
            same = common_length(child.tokens, tokens[at:])
            node, at = child, at + same
            if same < len(child.tokens):
                return node, at, same
        return node, at, 0

    def _add_ref(self, leaf: Node) -> None:
        self._tick += 1
        node: Node | None = leaf
        while node is not None:
            if node.refs == 0:
                self.locked += len(node.tokens)
            node.refs += 1
            node = node.parent

    def _split(self, node: Node, at: int) -> Node:
        """Cut a node in two; returns the new upper one. The lower keeps its identity, so that
        sequences which end there need not be told."""
        upper = Node(
            node.tokens[:at].copy(), node.slots[:at].copy(), node.parent, node.salt, node.start,
            computed=min(node.computed, at), refs=node.refs, last_use=node.last_use,
            uses=node.uses, promised=node.promised, promised_at=node.promised_at,
        )  # fmt: skip
        assert node.parent is not None
        node.parent.children[int(upper.tokens[0])] = upper
        node.tokens, node.slots = node.tokens[at:].copy(), node.slots[at:].copy()
        node.start += at
        node.computed -= upper.computed
        node.parent = upper
        upper.children[int(node.tokens[0])] = node
        self.nodes += 1
        return upper

    def _trim(self, node: Node, keep: int) -> None:
        """Give back the slots behind the first `keep` tokens; an empty node leaves the tree."""
        self._slots.give(node.slots[keep:])
        self.total -= len(node.tokens) - keep
        parent = node.parent
        assert parent is not None
        if not keep:
            del parent.children[int(node.tokens[0])]
            parent.last_use = max(parent.last_use, node.last_use)
            self.nodes -= 1
        node.tokens, node.slots = node.tokens[:keep].copy(), node.slots[:keep].copy()
        node.computed = min(node.computed, keep)

    def _queue(self, node: Node) -> None:
        """Make a node evictable if it is an unused leaf; an unused empty root goes at once."""
        if node.parent is None:
            if not node.refs and not node.children:
                self._roots.pop(node.salt, None)
        elif evictable(node):
            self._order.push(node)

    def check(self, leaves: Iterable[Node]) -> None:
        """Raise AssertionError where the tree breaks an invariant.

        `leaves` are the nodes that the sequences hold locked, one per sequence.
        """
        found = check_nodes(self._roots.values(), self._order, leaves)
        assert found == (self.nodes, self.total, self.locked), "the counters are wrong"
        self._order.check()
