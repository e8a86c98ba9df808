"""What a benchmark is asked and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.data import DEFAULT_DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run: the short form or the full one, with which data, how often."""

    quick: bool = False
    data: Path = DEFAULT_DATA
    repeats: int | None = None  # None: the benchmark's own number

    def command(self, name: str) -> str:
        """The command that repeats this run."""
        words = ["python -m benchmarks", name]
        if self.quick:
            words.append("--quick")
        if self.repeats is not None:
            words.append(f"--repeats {self.repeats}")
        return " ".join(words)


def cell(value: Any) -> str:
    """A number with about three digits that mean something; text as it is."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    size = abs(value)
    if size == 0 or 0.001 <= size < 10:
        return f"{value:.3f}"
    if size < 0.001:
        return f"{value:.2e}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their numbers cut to six digits: more were never measured."""
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in fields.items()
    }


def grid(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned text; numbers stand right, a key that a row lacks stays blank."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    texts = [[cell(row.get(column)) for column in columns] for row in rows]
    right = [any(isinstance(row.get(column), (int, float)) for row in rows) for column in columns]
    widths = [max(len(text) for text in column) for column in zip(columns, *texts, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in ([*columns], ["-" * width for width in widths], *texts)
    ]
    return "\n".join(lines)


@dataclass(slots=True)
class Report:
    """What was measured.

    `ratios`: above 1 means that ours is better; for a budget it is budget over measured, so that 1
    or more means that the budget holds. Rows give the percent of the limit as `limit_%`.
    """

    benchmark: str
    rows: Sequence[Mapping[str, Any]]
    ratios: dict[str, float]
    machine: dict[str, Any] = field(default_factory=dict)  # filled in by the command line

    def json(self) -> str:
        """One object: benchmark, machine, rows, ratios."""
        found = {
            "benchmark": self.benchmark,
            "machine": rounded(self.machine),
            "rows": [rounded(row) for row in self.rows],
            "ratios": rounded(self.ratios),
        }
        return json.dumps(found, indent=1, default=str)

    def table(self) -> str:
        """The same for people."""
        ratios = [
            {"ratio": name, "ours is better by": f"{ratio:.2f}x"}
            for name, ratio in self.ratios.items()
        ]
        about = [f"{key}: {cell(value)}" for key, value in self.machine.items()]
        parts = [self.benchmark, grid(self.rows), grid(ratios), "\n".join(about)]
        return "\n\n".join(part for part in parts if part) + "\n"
