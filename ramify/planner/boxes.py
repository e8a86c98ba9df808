"""Where the boxes of a drawn graph stand: layers by longest path, few crossings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ramify.ir import NodeId
from ramify.planner.labels import names, starred, what
from ramify.planner.order import in_order

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

ALIKE = 8  # more nodes than this that differ in indices only are one box
SWEEPS = 4  # over the columns, to untangle the edges


@dataclass(slots=True)
class Box:
    """One node, or many alike; column and row of the layout, rows may be fractions."""

    key: int
    name: str
    what: str
    nodes: list[NodeId] = field(default_factory=list)
    column: int = 0
    row: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes from left to right, and which of them (by their keys) read which.

    A box that waits for another one only through a third has no edge to it.
    """

    boxes: dict[int, Box]
    edges: list[tuple[int, int]]
    columns: int
    rows: int


MOST = 400  # boxes; more than this no eye can follow


def layout(plan: Plan) -> Layout | None:
    """Lay out a plan's graph; the same plan always gives the same layout.

    None where there would be more than 400 boxes.
    """
    import networkx

    boxes, owner = _boxes(plan)
    if len(boxes) > MOST:
        return None
    edges = dict.fromkeys(
        (owner[source], owner[node.id])
        for node in plan.graph.nodes.values()
        for source in node.inputs()
        if source in owner and owner[source] != owner[node.id]
    )
    graph = networkx.DiGraph()
    graph.add_nodes_from(boxes)
    graph.add_edges_from(edges)
    columns = [sorted(layer) for layer in networkx.topological_generations(graph)]
    for column, keys in enumerate(columns):
        for key in keys:
            boxes[key].column = column
    _untangle(columns, graph)
    rows = max(map(len, columns), default=0)
    for keys in columns:
        for place, key in enumerate(keys):
            boxes[key].row = place + (rows - len(keys)) / 2
    direct = networkx.transitive_reduction(graph).edges
    return Layout(boxes, [edge for edge in edges if edge in direct], len(columns), rows)


def _boxes(plan: Plan) -> tuple[dict[int, Box], dict[NodeId, int]]:
    known = names(plan.graph)
    nodes = plan.graph.nodes
    depth: dict[NodeId, int] = {}
    for node_id, sources in in_order(plan.graph):
        depth[node_id] = 1 + max((depth.get(source, 0) for source in sources), default=0)
    likeness = {i: (depth[i], starred(known[i]), type(nodes[i])) for i in nodes}
    count = Counter(likeness.values())
    first: dict[object, NodeId] = {}
    boxes: dict[int, Box] = {}
    owner: dict[NodeId, int] = {}
    for node in nodes.values():
        like = likeness[node.id]
        many = count[like] > ALIKE
        key = first.setdefault(like, node.id) if many else node.id
        if key not in boxes:
            name = f"{starred(known[key])} x{count[like]}" if many else known[key]
            boxes[key] = Box(key, name, what(node, known))
        boxes[key].nodes.append(node.id)
        owner[node.id] = key
    return boxes, owner


def _untangle(columns: list[list[int]], graph: object) -> None:
    """Sort each column by the mean place of the neighbours, from the left and from the right."""
    import networkx

    assert isinstance(graph, networkx.DiGraph)
    place = {key: float(i) for keys in columns for i, key in enumerate(keys)}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for keys in columns if forward else reversed(columns):
            beside = graph.predecessors if forward else graph.successors
            wanted = {}
            for key in keys:
                places = [place[other] for other in beside(key)]
                wanted[key] = sum(places) / len(places) if places else place[key]
            keys.sort(key=lambda key: (wanted[key], key))
            place.update({key: float(i) for i, key in enumerate(keys)})
