"""Curves as an SVG, drawn with a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 120, 40, 50
_COLORS = ("#d62728", "#1f77b4", "#7f7f7f", "#ff7f0e", "#9467bd", "#2ca02c")


def curves(
    title: str,
    x_label: str,
    y_label: str,
    xs: Sequence[float],
    lines: Mapping[str, Sequence[float]],
) -> str:
    """A picture of several lines over common points `xs`, which stand at equal distances; the
    y-axis begins at 0, and each line's name stands at its end."""
    top = 1.1 * max(max(values) for values in lines.values())
    inner, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(i: int) -> float:
        return _LEFT + inner * i / max(1, len(xs) - 1)

    def y(value: float) -> float:
        return _TOP + tall * (1 - value / top)

    def text(at_x: float, at_y: float, words: str, more: str = "") -> str:
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" {more}>{escape(words)}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        text(_LEFT, 22, title, 'font-size="14"'),
        text(_LEFT + inner / 2, _HEIGHT - 12, x_label, 'text-anchor="middle"'),
        text(14, _TOP - 8, y_label),
    ]
    for step in range(6):
        value = top * step / 5
        parts.append(
            f'<line x1="{_LEFT}" y1="{y(value):.1f}" x2="{_LEFT + inner}" y2="{y(value):.1f}" '
            'stroke="#dddddd"/>'
        )
        parts.append(text(_LEFT - 8, y(value) + 4, f"{value:.2f}", 'text-anchor="end"'))
    for i, at in enumerate(xs):
        parts.append(text(x(i), _HEIGHT - _BOTTOM + 18, f"{at:g}", 'text-anchor="middle"'))
    heights: list[float] = []
    for (name, values), color in zip(lines.items(), _COLORS, strict=False):
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        height = y(values[-1])
        while any(abs(height - other) < 14 for other in heights):
            height += 14
        heights.append(height)
        parts.append(text(_LEFT + inner + 8, height + 4, name, f'fill="{color}"'))
    return "\n".join([*parts, "</svg>", ""])
