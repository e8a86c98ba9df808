"""Who goes first: the nodes that most work waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ramify.ir import Generate, Graph, NodeId
from ramify.planner.context import Context
from ramify.planner.cost import computes, seconds
from ramify.planner.order import in_order
from ramify.planner.passes import Rewrite, legal


@legal("exact")
def prioritize(graph: Graph, context: Context) -> Rewrite:
    """Give each node its remaining critical path: the seconds from its start to the program's end.

    The scheduling rule of Helium and Autellix, by the cost model of `cost.py`. Token counts are
    rough here whatever `context.count` is: only the order matters, and this runs on every growth.

    Before: a (1 s) -> b (2 s), c (1 s). After: a 3 s, b 2 s, c 1 s.
    """
    own = own_seconds(graph, context)
    priorities = remaining(graph, own)
    if not priorities:
        return Rewrite(graph, 0, "", priorities)
    first = max(priorities, key=priorities.__getitem__)
    label = graph.nodes[first].label
    note = f"{label} first: {priorities[first]:.3g} s of work wait for it"
    return Rewrite(graph, 0, note, priorities)


def own_seconds(graph: Graph, context: Context) -> dict[NodeId, float]:
    """Seconds of each node alone; a prefix that several prompts share counts for the first."""
    sizes = context.sizes
    sizes.add(graph.nodes.values())
    default = context.profile("")
    rates: dict[str, tuple[float, float]] = {}  # seconds of a prompt token, of a decode step
    own: dict[NodeId, float] = {}
    for node_id, node in graph.nodes.items():
        if not computes(node):
            own[node_id] = seconds(node, default, 0, sizes)
            continue
        tokens, before = sizes.measure(node.prompt)
        if type(node) is not Generate:
            own[node_id] = seconds(node, context.profile(node.model), tokens - before, sizes)
            continue
        rate = rates.get(node.model)
        if rate is None:
            profile = context.profile(node.model)
            rate = rates[node.model] = (profile.prefill_s, profile.step_s(1))
        own[node_id] = (tokens - before) * rate[0] + node.sampling.max_tokens * rate[1]
    return own


def remaining(graph: Graph, own: Mapping[NodeId, float]) -> dict[NodeId, float]:
    """The longest path from each node, its own seconds included, to a node that nobody reads."""
    order = in_order(graph)
    longest: dict[NodeId, float] = dict.fromkeys(graph.nodes, 0.0)
    for node_id, sources in reversed(order):
        longest[node_id] += own[node_id]
        _raise(longest, sources, longest[node_id])
    return longest


def _raise(longest: dict[NodeId, float], sources: Iterable[NodeId], value: float) -> None:
    for source in sources:
        if longest.get(source, value) < value:
            longest[source] = value
