"""The invariants of the radix tree, checked node by node."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import NO_SLOTS, IntArray


def check_nodes(
    roots: Iterable[Node], unused: Iterable[Node], leaves: Iterable[Node]
) -> tuple[int, int, int]:
    """Raise AssertionError where a tree breaks an invariant.

    `unused` are the nodes that may be evicted, `leaves` those that sequences hold locked, one per
    sequence. Returns the nodes, their tokens, and the tokens on the path of some sequence.
    """
    refs: dict[int, int] = {}
    for leaf in leaves:
        node: Node | None = leaf
        while node is not None:
            refs[id(node)] = refs.get(id(node), 0) + 1
            node = node.parent
    queued = {id(node) for node in unused}
    total = locked = nodes = 0
    slots: list[IntArray] = [NO_SLOTS]
    todo = list(roots)
    while todo:
        node = todo.pop()
        assert node.refs == refs.pop(id(node), 0), "references are not the sequences' paths"
        if node.parent is None:
            assert node.refs or node.children, "an unused root was kept"
        else:
            _check_node(node)
            assert node.refs or node.children or id(node) in queued, "a leaf is never evicted"
            nodes += 1
            total += len(node.tokens)
            locked += len(node.tokens) if node.refs else 0
            slots.append(node.slots)
        for first, child in node.children.items():
            assert first == child.tokens[0] and child.parent is node
            todo.append(child)
    assert not refs, "a sequence holds a node that is not in the tree"
    held = np.concatenate(slots)
    assert len(np.unique(held)) == len(held), "a slot is in the tree twice"
    return nodes, total, locked


def _check_node(node: Node) -> None:
    parent = node.parent
    assert parent is not None
    assert len(node.tokens) == len(node.slots) > 0
    assert node.start == parent.stop and node.salt == parent.salt
    assert 0 <= node.computed <= len(node.tokens)
    assert parent.ready or node.computed == 0, "KV was computed before its prefix"
    assert parent.refs >= node.refs
    assert node.ready or node.refs, "nobody computes a node that is not ready"
