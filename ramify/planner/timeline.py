"""When each node ran, as bars over time: SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from typing import TYPE_CHECKING

from ramify.ir import NodeId
from ramify.planner.account import Account
from ramify.planner.draw import TEXT, colour
from ramify.planner.labels import short
from ramify.planner.rows import Row, rows

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

WIDTH, LABEL, LINE, TOP, EDGE = 860, 190, 18, 22, 8
_FAILED = "#ef4444"


def timeline(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> str:
    """A bar per row of the plan's table: what happened is filled, what was planned an outline."""
    found = [r for r in rows(plan, accounts) if r.planned or r.happened]
    end = max([_end(row) for row in found] or [0.0]) or 1.0
    scale = (WIDTH - LABEL - 2 * EDGE) / end
    height = TOP + LINE * len(found) + EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" style="{TEXT}">',
        f"<title>{escape(plan.graph.program or 'program')}: seconds</title>",
        *_axis(end, scale, height),
    ]
    for place, row in enumerate(found):
        lines += _row(plan, row, TOP + LINE * place, scale)
    return "\n".join([*lines, "</svg>"])


def _end(row: Row) -> float:
    planned = row.planned.end_s if row.planned else 0.0
    return max(planned, row.happened.end_s if row.happened else 0.0)


def _axis(end: float, scale: float, height: float) -> list[str]:
    lines = []
    for at in ticks(end):
        x = LABEL + EDGE + at * scale
        lines.append(
            f'<path d="M{x:.1f} {TOP - 4}V{height - EDGE}" stroke="currentColor" '
            f'stroke-opacity="0.15"/><text x="{x:.1f}" y="{TOP - 9}" fill="currentColor" '
            f'fill-opacity="0.7" text-anchor="middle">{at:g} s</text>'
        )
    return lines


def ticks(end: float) -> Sequence[float]:
    """Four to nine round numbers from 0 to `end`."""
    unit = 10.0 ** floor(log10(end))
    step = next(s for s in (unit / 5, unit / 2, unit, unit * 2) if end / s < 9)
    return [round(i * step, 12) for i in range(int(end / step + 1e-9) + 1)]


def _row(plan: Plan, row: Row, y: float, scale: float) -> list[str]:
    node = plan.graph.nodes[row.node] if row.node is not None else None
    tone = colour(node) if node is not None else "#8b8b93"
    lines = [
        f'<text x="{EDGE}" y="{y + 12}" fill="currentColor">{escape(short(row.name, 27))}</text>'
    ]
    x = LABEL + EDGE
    if row.planned is not None and not row.grown:
        start, wide = x + row.planned.start_s * scale, max(row.planned.seconds * scale, 1)
        lines.append(
            f'<rect x="{start:.1f}" y="{y + 2}" width="{wide:.1f}" height="13" rx="3" '
            f'fill="none" stroke="{tone}" stroke-opacity="0.7"/>'
        )
    if row.happened is not None:
        account = row.happened
        start, wide = x + account.start_s * scale, max(account.seconds * scale, 1)
        good = account.status in ("done", "merged")
        hint = f"{row.name}: {account.status}, {account.start_s:.3g} to {account.end_s:.3g} s"
        lines.append(
            f'<rect x="{start:.1f}" y="{y + 4}" width="{wide:.1f}" height="9" rx="2" '
            f'fill="{tone if good else _FAILED}" fill-opacity="0.6"><title>{escape(hint)}</title>'
            "</rect>"
        )
    return lines
