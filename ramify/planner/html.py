"""The plan for notebooks: the graph, the bars over time and the table, in one piece of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ramify.ir import NodeId
from ramify.planner.account import Account
from ramify.planner.draw import svg
from ramify.planner.estimate import Estimate
from ramify.planner.explain import seconds, summary
from ramify.planner.labels import listed
from ramify.planner.rows import Row, rows
from ramify.planner.timeline import timeline

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

_STYLE = (
    "<style>.ramify-plan{overflow-x:auto}"
    ".ramify-plan table{border-collapse:collapse;font-size:12px;color:inherit}"
    ".ramify-plan td,.ramify-plan th{padding:2px 8px;text-align:left;background:none;"
    "border-bottom:1px solid rgba(128,128,128,.25);white-space:nowrap}"
    ".ramify-plan .n{text-align:right;font-variant-numeric:tabular-nums}</style>"
)
_NUMBERS = ("prompt", "cached", "output", "seconds", "start")


def html_of(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> str:
    """HTML without scripts or links: the same table as `explain`, under the graph.

    With `accounts`, the bars over time come between, and the table has what happened.
    """
    parts = [_STYLE, '<div class="ramify-plan">', svg(plan)]
    if accounts is not None:
        parts.append(timeline(plan, accounts))
    parts.append(_table(rows(plan, accounts), accounts is not None))
    parts += [f"<pre>{escape(chr(10).join(summary(plan, accounts)))}</pre>", "</div>"]
    return "\n".join(parts)


def _table(found: Sequence[Row], happened: bool) -> str:
    groups = '<th colspan="3"></th><th colspan="5">planned</th>'
    groups += '<th colspan="5">happened</th>' if happened else ""
    heads = "".join(f"<th>{word}</th>" for word in ("node", "does", "after"))
    heads += "".join(f'<th class="n">{word}</th>' for word in _NUMBERS) * (1 + happened)
    body = "\n".join(_line(row, happened) for row in found)
    return (
        f"<table><thead><tr>{groups}</tr><tr>{heads}</tr></thead>\n<tbody>\n{body}\n"
        "</tbody></table>"
    )


def _line(row: Row, happened: bool) -> str:
    lead = escape(row.tree).replace(" ", "&nbsp;")
    cells = f"<td>{lead}{escape(row.name)}</td><td>{escape(row.what)}</td>"
    cells += f"<td>{escape(listed(row.after, 40))}</td>"
    cells += _wide("grown") if row.grown else _cells(row.planned)
    if happened:
        account = row.happened
        if account is None:
            cells += _wide("not run" if row.what else "")
        elif account.status == "done":
            cells += _cells(account)
        else:
            cells += _wide(f"{account.status} {account.note}")
    return f"<tr>{cells}</tr>"


def _wide(text: str) -> str:
    return f'<td colspan="5">{escape(text)}</td>'


def _cells(used: Estimate | Account | None) -> str:
    if used is None:
        return _wide("")
    tokens = (used.prompt_tokens, used.cached_tokens, used.output_tokens)
    words = [f"{count:,}" if any(tokens) else "" for count in tokens]
    words += [seconds(used.seconds), seconds(used.start_s)]
    return "".join(f'<td class="n">{word}</td>' for word in words)
