"""The graph of a plan as the source of a Mermaid flowchart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ramify.planner.labels import names, short, what

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

_LONGEST = 40


def mermaid(plan: Plan) -> str:
    """One box per node, an arrow for everything that is read, the critical path in bold arrows."""
    graph = plan.graph
    known = names(graph)
    critical = set(pairwise(plan.estimates.critical))
    lines = ["flowchart LR"]
    for node in graph.nodes.values():
        name = short(known[node.id], _LONGEST)
        text = f"{_quoted(name)}<br/>{_quoted(short(what(node, known), _LONGEST))}"
        lines.append(f'    n{node.id}["{text}"]')
    for node in graph.nodes.values():
        for source in node.inputs():
            if source in graph.nodes:
                arrow = "==>" if (source, node.id) in critical else "-->"
                lines.append(f"    n{source} {arrow} n{node.id}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text inside a quoted label: everything that Mermaid or HTML could read as syntax, encoded."""
    return "".join(c if c.isalnum() or c in " .,_-=[]()/+:…@" else f"#{ord(c)};" for c in text)
