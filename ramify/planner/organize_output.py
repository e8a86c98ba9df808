"""How an answer that may be split is written: in one go, or as branches if the router agrees."""

from __future__ import annotations

from dataclasses import replace

from ramify.ir import Each, Graph
from ramify.planner.context import Context
from ramify.planner.passes import Rewrite, legal
from ramify.planner.split import refusal, sequential_s, split_s


@legal("lossy")
def organize_output(graph: Graph, context: Context) -> Rewrite:
    """Settle the answers of `organize="auto"` that are not worth splitting.

    By the cost rule of `split.py` and the load at this moment; the router is then not asked at
    all. Where splitting pays, the router has the last word when the run comes there.

    Before: router -> each. After, where it does not pay: each over "sequential".
    """
    changed = []
    notes = []
    for node in graph.nodes.values():
        if type(node) is not Each or node.ways is None or node.ways.chosen is not None:
            continue
        ways, profile = node.ways, context.profile(node.ways.model)
        load = context.load(ways.model)
        way = refusal(ways, profile, load)
        if way is not None:
            changed.append(replace(node, items=[way], ways=replace(ways, chosen=way)))
            notes.append(f"{node.label}: {way.name}, {way.reason}")
        else:
            split, plain = split_s(ways, profile, load), sequential_s(ways, profile, load)
            notes.append(
                f"{node.label}: {ways.branches} branches if the router agrees, "
                f"{split:.3g} s against {plain:.3g} s in one go"
            )
    if not changed:
        return Rewrite(graph, 0, "; ".join(notes))
    return Rewrite(graph.with_nodes({**graph.nodes, **{n.id: n for n in changed}}.values()),
                   len(changed), "; ".join(notes))  # fmt: skip
