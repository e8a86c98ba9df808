"""The radix tree, by example; at random with its sequences in `test_cache`."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest

from ramify.backend.radix.eviction import HeapOrder
from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import SlotAllocator
from ramify.backend.radix.tree import RadixTree


def ids(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(np.int64)


@pytest.fixture
def tree() -> RadixTree:
    return RadixTree(SlotAllocator(100))


def put(tree: RadixTree, text: str, *, ready: bool = True, salt: str = "") -> Node:
    """Lock a text, computing what is not known."""
    leaf = tree.lock(salt, ids(text))
    rest = ids(text)[leaf.stop :]
    if len(rest):
        leaf = tree.extend(leaf, rest, tree._slots.take(len(rest)), ready=ready)
    return leaf


def test_a_node_is_split_where_texts_part(tree: RadixTree) -> None:
    first = put(tree, "forest")
    second = put(tree, "forget")
    tree.check([first, second])
    assert tree.nodes == 3 and tree.total == 9
    assert tree.lookup("", ids("forgiven")) == 4
    both = set(tree.path_slots(first).tolist()) & set(tree.path_slots(second).tolist())
    assert len(both) == 3
    assert tree.lookup("other", ids("forest")) == 0


def test_a_chat_that_goes_on_stays_one_node(tree: RadixTree) -> None:
    for n in range(1, 20):
        leaf = put(tree, "a" * n)
        tree.release(leaf)
    tree.check([])
    assert tree.nodes == 1


def test_followers_see_what_the_leader_is_computing(tree: RadixTree) -> None:
    leader = put(tree, "a long prefix", ready=False)
    follower = tree.lock("", ids("a long prelude"))
    assert follower.stop == 10 and not follower.ready
    assert [node.stop for node in tree.pending(leader)] == [10, 13]
    assert tree.pending(follower) == [follower]
    follower.computed = 6
    tree.release(leader)
    tree.check([follower])
    assert tree.total == 10  # what only the leader needed is gone
    tree.release(follower)
    tree.check([])
    assert tree.total == 6  # and so is what nobody computed


def test_leaves_are_evicted_least_recently_used_first_and_from_their_ends(tree: RadixTree) -> None:
    for text in ("shared one", "shared two", "another"):
        tree.release(put(tree, text))
    tree.release(put(tree, "shared one"))  # used again
    assert tree.evict(2) == 2
    assert [tree.lookup("", ids(t)) for t in ("shared one", "shared two", "another")] == [10, 8, 7]
    assert tree.evict(6) == 6
    assert [tree.lookup("", ids(t)) for t in ("shared one", "shared two", "another")] == [10, 7, 2]
    tree.check([])
    assert tree.clear() == tree.evicted - 8 == 12
    assert tree._slots.free == 100
    assert not tree._roots


def test_nothing_in_use_is_evicted(tree: RadixTree) -> None:
    leaf = put(tree, "in use")
    tree.release(put(tree, "in use, and more"))
    assert tree.evictable == 10
    assert tree.evict(50) == 10
    assert tree.lookup("", ids("in use, and more")) == 6
    tree.release(leaf)


def test_a_commit_gives_back_what_the_tree_has(tree: RadixTree) -> None:
    put(tree, "the end")
    leaf = tree.lock("", ids("the"))
    used = tree._slots.used
    leaf = tree.commit(leaf, ids(" ending"), tree._slots.take(7))
    assert tree._slots.used == used + 3
    assert leaf.stop == 10 and tree.lookup("", ids("the ending")) == 10


def test_a_commit_stops_where_another_sequence_still_computes(tree: RadixTree) -> None:
    other = put(tree, "abcdef", ready=False)
    leaf = tree.lock("", ids(""))
    leaf = tree.commit(leaf, ids("abcxyz"), tree._slots.take(6))
    assert leaf.stop == 0
    tree.check([other, leaf])
    assert tree._slots.used == 6


def test_depth_does_not_matter() -> None:
    tree = RadixTree(SlotAllocator(1000))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)
    try:
        # each one is held, so each makes a node of its own
        leaves = [put(tree, "ab" * n) for n in range(1, 301)]
        tree.check(leaves)
        assert tree.nodes == 300
        for leaf in leaves:
            tree.release(leaf)
        assert tree.clear() == tree.evicted == 600
    finally:
        sys.setrecursionlimit(limit)


def test_the_policy_can_be_replaced() -> None:
    tree = RadixTree(SlotAllocator(100), HeapOrder(lambda node: -node.stop))  # longest path first
    tree.release(put(tree, "longer text"))
    tree.release(put(tree, "short"))
    tree.evict(8)
    assert (tree.lookup("", ids("longer text")), tree.lookup("", ids("short"))) == (3, 5)


def test_a_forgotten_path_is_gone_as_far_as_nobody_else_uses_it(tree: RadixTree) -> None:
    other = put(tree, "good start")
    tree.forget(put(tree, "good start, bad end"))
    tree.check([other])
    assert tree.lookup("", ids("good start, bad end")) == 10
