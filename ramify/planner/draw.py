"""A plan as a picture: SVG text, drawn here, readable on light and on dark."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from ramify.ir import Call, Compress, Each, First, Node, Prompted, Rerank, Retrieve, View
from ramify.planner.boxes import Box, Layout, layout
from ramify.planner.labels import short

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

BOX_W, BOX_H, GAP_X, GAP_Y, EDGE = 168, 36, 44, 12, 8
TEXT = "font:11px ui-monospace,Menlo,Consolas,monospace"

# middle tones: they stand out from white and from black
_MODEL, _FIND, _CODE, _SHAPE = "#3b82f6", "#10b981", "#f59e0b", "#8b8b93"


def colour(node: Node) -> str:
    """The colour of a kind of work."""
    if isinstance(node, Prompted) and type(node) is not View:
        return _MODEL
    if isinstance(node, Retrieve | Rerank | Compress):
        return _FIND
    if isinstance(node, Call):
        return _CODE
    return _SHAPE


def svg(plan: Plan) -> str:
    """The graph from left to right. Bold lines are the critical path, dashed boxes will grow.

    Empty for graphs of more than 400 boxes.
    """
    placed = layout(plan)
    if placed is None:
        return ""
    width = max(placed.columns * (BOX_W + GAP_X) - GAP_X, 0) + 2 * EDGE
    height = max(placed.rows * (BOX_H + GAP_Y) - GAP_Y, 0) + 2 * EDGE
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" style="{TEXT}">',
        f"<title>{escape(plan.graph.program or 'program')}</title>",
        *_edges(plan, placed),
        *(_box(plan, box) for box in placed.boxes.values()),
        "</svg>",
    ])


def _corner(box: Box) -> tuple[float, float]:
    return EDGE + box.column * (BOX_W + GAP_X), EDGE + box.row * (BOX_H + GAP_Y)


def _edges(plan: Plan, placed: Layout) -> list[str]:
    path = plan.estimates.critical
    owner = {node: box.key for box in placed.boxes.values() for node in box.nodes}
    critical = {(owner[a], owner[b]) for a, b in pairwise(path)}
    lines = []
    for source, reader in placed.edges:
        x1, y1 = _corner(placed.boxes[source])
        x2, y2 = _corner(placed.boxes[reader])
        x1, y1, y2 = x1 + BOX_W, y1 + BOX_H / 2, y2 + BOX_H / 2
        bend = (x2 - x1) / 2
        look = ("1.8", "0.9") if (source, reader) in critical else ("1", "0.35")
        lines.append(
            f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}'
            f'M{x2 - 5:g} {y2 - 3:g}L{x2:g} {y2:g}L{x2 - 5:g} {y2 + 3:g}" fill="none" '
            f'stroke="currentColor" stroke-width="{look[0]}" stroke-opacity="{look[1]}"/>'
        )
    return lines


def _box(plan: Plan, box: Box) -> str:
    x, y = _corner(box)
    node = plan.graph.nodes[box.nodes[0]]
    tone = colour(node)
    dashes = ' stroke-dasharray="4 3"' if isinstance(node, Each | First) else ""
    return (
        f"<g><title>{escape(_hint(plan, box))}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="6" fill="{tone}" '
        f'fill-opacity="0.14" stroke="{tone}"{dashes}/>'
        f'<text x="{x + 9:g}" y="{y + 15:g}" fill="currentColor" font-weight="600">'
        f"{escape(short(box.name, 23))}</text>"
        f'<text x="{x + 9:g}" y="{y + 29:g}" fill="currentColor" fill-opacity="0.7">'
        f"{escape(short(box.what, 23))}</text></g>"
    )


def _hint(plan: Plan, box: Box) -> str:
    """What a pointer over the box shows."""
    found = [plan.estimates.nodes[node] for node in box.nodes if node in plan.estimates.nodes]
    tokens = sum(one.prompt_tokens for one in found)
    cached = sum(one.cached_tokens for one in found)
    output = sum(one.output_tokens for one in found)
    longest = max((one.seconds for one in found), default=0.0)
    return f"{box.name}: {tokens} prompt tokens, {cached} cached, {output} output, {longest:.3g} s"
