"""Do equal work once."""

from __future__ import annotations

from ramify.ir import Alias, Graph, Node
from ramify.planner.context import Context
from ramify.planner.passes import Rewrite, legal
from ramify.planner.work import find_works


@legal("exact")
def merge_common(graph: Graph, context: Context) -> Rewrite:
    """Make an alias of every node whose work an earlier node of the run does already.

    Equal is what `work_keys` calls equal, and besides that what reads the very same node: two
    calls on one sampled answer are equal in this run, although no other run repeats them.

    Before: a = retrieve("x"), b = retrieve("x"). After: a = retrieve("x"), b = alias of a.
    """
    find_works(graph, context)
    works, firsts = context.works, context.firsts
    nodes: list[Node] = []
    merged: list[str] = []
    for node in graph.nodes.values():
        digest = works[node.id].digest
        first = firsts.get(digest)
        there = first is not None and (first in graph.nodes or first in context.done)
        if first is None or not there or first in context.lost:
            firsts[digest] = node.id
        elif first != node.id and type(node) is not Alias:
            node = Alias(id=node.id, name=node.name, scope=node.scope, of=first)
            merged.append(node.label)
        nodes.append(node)
    if not merged:
        return Rewrite(graph)
    more = ", ..." if len(merged) > 4 else ""
    note = f"{len(merged)} merged with earlier work: {', '.join(merged[:4])}{more}"
    return Rewrite(graph.with_nodes(nodes), len(merged), note)
