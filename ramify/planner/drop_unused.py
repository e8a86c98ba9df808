"""Drop the nodes whose result nobody reads."""

from __future__ import annotations

from ramify.ir import Call, Graph
from ramify.planner.context import Context
from ramify.planner.passes import Rewrite, legal


@legal("exact")
def drop_unused(graph: Graph, context: Context) -> Rewrite:
    """Keep what the outputs need and every call that is not `pure`, with what it reads.

    Nodes that are done already go as well: their results are known.

    Before: a -> b -> output, c -> d. After: a -> b -> output.
    """
    roots = graph.output_ids()
    roots += [n.id for n in graph.nodes.values() if type(n) is Call and not n.pure]
    needed = graph.needed(roots, context.done)
    kept = [node for node_id, node in graph.nodes.items() if node_id in needed]
    dropped = len(graph.nodes) - len(kept)
    if not dropped:
        return Rewrite(graph)
    names = [n.label for n in graph.nodes.values() if n.id not in needed][:4]
    more = ", ..." if dropped > len(names) else ""
    return Rewrite(graph.with_nodes(kept), dropped, f"{dropped} dropped: {', '.join(names)}{more}")
