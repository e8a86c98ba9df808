"""The nodes of a graph such that each stands after what it reads."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from ramify.errors import GraphError, Where
from ramify.ir import Graph, NodeId


def in_order(graph: Graph) -> list[tuple[NodeId, list[NodeId]]]:
    """Each node with its inputs, inputs first.

    That is the order of tracing, unless an alias or a `First` reads a later node. Raises
    GraphError where nodes wait for each other.
    """
    edges = [(node_id, node.inputs()) for node_id, node in graph.nodes.items()]
    before: set[NodeId] = set()
    nodes = graph.nodes
    for node_id, sources in edges:
        before.add(node_id)
        if any(source not in before and source in nodes for source in sources):
            return _sorted(graph, dict(edges))
    return edges


def _sorted(
    graph: Graph, edges: dict[NodeId, list[NodeId]]
) -> list[tuple[NodeId, list[NodeId]]]:
    try:
        order = TopologicalSorter(edges).static_order()
        return [(node_id, edges[node_id]) for node_id in order if node_id in edges]
    except CycleError as error:
        labels = [graph.nodes[i].label for i in error.args[1] if i in graph.nodes]
        raise GraphError(
            f"nodes wait for each other: {', '.join(labels)}.", where=Where(graph.program)
        ) from error
