"""Keys of work: two nodes with equal keys compute the same.

A key is a digest of a node's fields in which every reference is replaced by the key of what it
refers to, so chains of equal work have equal keys, in one graph and across the graphs of different
runs. A prompt is hashed as a stream of its parts, so that folding text changes no key.
"""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import blake2b

from ramify.ir import Alias, Compress, Graph, Node, NodeId, Parallel, Prompt, Prompted, Text
from ramify.planner.canonical import NoBytesError
from ramify.planner.context import Context
from ramify.planner.describe import Description, Trail, Work, describe, encoded, own_work
from ramify.planner.trie import ends

_EMPTY: Trail = (blake2b(digest_size=16), True, ())


def work_keys(graph: Graph, context: Context) -> dict[NodeId, Hashable]:
    """The keys of the nodes whose work is the same in every run in which it has the same key.

    Nodes that draw by chance, act on the world, fan out, or read such a node, have no key.
    """
    find_works(graph, context)
    works = context.works
    return {i: works[i] for i in graph.nodes if works[i].shared}


def find_works(graph: Graph, context: Context) -> None:
    """Fill `context.works` for all nodes of a graph, in the order in which they were traced."""
    works = context.works
    for node_id, node in graph.nodes.items():
        if node_id not in works:
            works[node_id] = _work(node, context)


def _work(node: Node, context: Context) -> Work:
    """The key of one node, whose inputs have theirs already."""
    works = context.works
    if type(node) is Alias:
        return works.get(node.of) or own_work(node.of)
    if isinstance(node, Prompted):
        running, shared, held = trail(node.prompt, context)
        running = running.copy()
    else:
        running, shared, held = blake2b(digest_size=16), True, ()
    description = Description(works, shared, held)
    try:
        if not describe(node, description):
            return own_work(node.id)
    except NoBytesError:
        return own_work(node.id)
    if context.profiles and isinstance(node, Prompted | Compress):
        # compressors count tokens as the default backend does
        profile = context.profiles.get(node.model if isinstance(node, Prompted) else "")
        description.text(b"b", profile.name if profile is not None else "")
    running.update(b"N" + b"".join(description.out))
    return Work(running.digest(), description.shared, description.held)


def trail(prompt: Prompt, context: Context) -> Trail:
    """The content of a prompt, remembered for the prompts that extend it.

    A path is remembered at its end, and everywhere once a second path has joined it, so that no
    segment is walked more than twice however many prompts fork from it.
    """
    trails = context.trails
    stack = [prompt]
    while stack:
        path: list[Prompt] = []
        base = stack[-1]
        while base not in trails and base.parent is not None:
            trails[base] = None
            path.append(base)
            base = base.parent
        fresh = len(path)
        while trails.get(base) is None and base.parent is not None:
            path.append(base)
            base = base.parent
        found = trails.get(base) or _EMPTY
        if _descend(path, fresh, found, context, stack):
            stack.pop()
    return trails.get(prompt) or _EMPTY


def _descend(
    path: list[Prompt], fresh: int, found: Trail, context: Context, stack: list[Prompt]
) -> bool:
    """Extend what is known by a path, deepest prompt first, of which `fresh` are new.

    False where a join needs its blocks first: these are then on the stack.
    """
    trails = context.trails
    description = Description(context.works, found[1], found[2])
    out = description.out
    running = found[0].copy()
    left = len(path)
    for step in reversed(path):
        segment = step.segment
        kind = type(segment)
        if kind is Text:  # by far the most
            for part in segment.parts:  # type: ignore[union-attr]
                data = encoded(part)
                out.append(b"t%d:%b" % (len(data), data))
        elif kind is Parallel:
            missing = [end for end in ends(segment) if trails.get(end) is None and end.parent]  # type: ignore[arg-type]
            if missing:
                stack += missing
                if step.parent is not None and step.parent.parent is not None:
                    trails[step.parent] = description.trail(running)
                return False
            description.segment(segment, trails)  # type: ignore[arg-type]
        else:
            description.segment(segment, trails)  # type: ignore[arg-type]
        left -= 1
        if left >= fresh or left == 0:
            trails[step] = description.trail(running)
    return True
