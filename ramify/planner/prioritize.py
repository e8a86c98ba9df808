"""Remaining critical path."""

from __future__ import annotations

from ramify.ir import Graph
from ramify.planner.context import Context
from ramify.planner.passes import Rewrite, legal


@legal("exact")
def prioritize(graph: Graph, context: Context) -> Rewrite:
    priorities: dict[int, float] = {}
    readers = graph.readers()
    for node_id in reversed(graph.nodes):
        after = max((priorities.get(r, 0.0) for r in readers[node_id]), default=0.0)
        priorities[node_id] = 1.0 + after
    return Rewrite(graph, len(priorities), "", priorities)
