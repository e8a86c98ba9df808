"""The plan as a table in text: EXPLAIN, and with accounts EXPLAIN ANALYZE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ramify.ir import NodeId
from ramify.planner.account import Account
from ramify.planner.estimate import Estimate
from ramify.planner.labels import listed, names, short
from ramify.planner.rows import Row, rows, sum_accounts

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

WIDTH = 100
REMARKS = 8


def explain(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> str:
    """Node by node what is planned, and with `accounts` beside it what happened; totals; passes.

    Tokens of a prompt are counted as a backend reads them: `cached` is the part of `prompt` that
    an earlier node computed. Seconds are a node's own, `start` is since the start of the run.
    """
    found = rows(plan, accounts)
    title = f"{plan.graph.program or 'program'}: {len(plan.graph.nodes)} nodes"
    if plan.grown:
        title += f", {len(plan.grown)} of them grown in the run"
    lines = _planned(found) if accounts is None else _analyzed(found)
    return "\n".join(line.rstrip() for line in [title, "", *lines, "", *summary(plan, accounts)])


def summary(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> list[str]:
    """The lines below the table: totals and what each pass did."""
    if accounts is None:
        return [*_totals(plan), "", *_passes(plan)]
    return [*_remarks(plan, accounts), *_compared(plan, accounts), "", *_passes(plan)]


# The two tables.


def _planned(found: Sequence[Row]) -> list[str]:
    name = _width([row.tree + row.name for row in found], 12, 32)
    doing = _width([row.what for row in found], 8, 20)
    after = WIDTH - name - doing - 2 - 4 - 4 * 8 - 8
    head = f"{'node':{name}}  {'does':{doing}}  {'after':{after}}  " + _cells(
        ("prompt", "cached", "output", "seconds", "start"), (7, 7, 7, 7, 7)
    )
    lines = [head, "─" * len(head)]
    for row in found:
        first = f"{_name(row, name)}  {short(row.what, doing):{doing}}  "
        cells = _numbers(row.planned, (7, 7, 7, 7, 7)) if row.planned else ""
        lines.append(f"{first}{listed(row.after, after):{after}}  {cells}")
    return lines


def _analyzed(found: Sequence[Row]) -> list[str]:
    sizes, more = (6, 6, 5, 5), (6, 6, 5, 5, 5)
    half, rest = sum(sizes) + 3, sum(more) + 4
    name = _width([row.tree + row.name for row in found], 10, 23)
    doing = _width([row.what for row in found], 8, WIDTH - half - rest - name - 8)
    words = ("prompt", "cached", "out", "s")
    side = "─" * (name + doing + 3)
    lines = [
        f"{'':{name + doing + 3}}│{'planned':^{half + 2}}│{'happened':^{rest + 1}}",
        f"{'node':{name}}  {'does':{doing}} │ {_cells(words, sizes)} │ "
        + _cells((*words, "start"), more),
        f"{side}┼{'─' * (half + 2)}┼{'─' * (rest + 1)}",
    ]
    for row in found:
        planned = f"{'grown' if row.grown and row.what else '':>{half}}"
        if row.planned is not None and not row.grown:
            planned = _numbers(row.planned, sizes)
        happened = _happened(row, more, rest)
        start = f"{_name(row, name)}  {short(row.what, doing):{doing}}"
        lines.append(f"{start} │ {planned} │ {happened}")
    return lines


def _remarks(plan: Plan, accounts: Mapping[NodeId, Account]) -> list[str]:
    """What is to be said of single nodes, the worst first."""
    known = names(plan.graph)
    noted = [(i, one) for i, one in accounts.items() if one.note]
    noted.sort(key=lambda item: ("failed", "cancelled").count(item[1].status) == 0)
    lines = []
    for node, one in noted[:REMARKS]:
        status = "" if one.status in ("done", "merged") else f"{one.status}: "
        name = short(known.get(node, f"#{node}"), 30)
        lines.append(f"{name}: {short(status + one.note, WIDTH - 2 - len(name))}")
    if len(noted) > REMARKS:
        lines.append(f"… and {len(noted) - REMARKS} more remarks")
    return [*lines, ""] if lines else []


def _happened(row: Row, sizes: Sequence[int], width: int) -> str:
    account = row.happened
    if account is None:
        return "not run" if row.what else ""
    if account.status == "done":
        return _numbers(account, sizes)
    return short(account.status if row.node is not None else account.note, width)


def _name(row: Row, width: int) -> str:
    lead = row.tree if len(row.tree) <= width // 2 else "…" + row.tree[-width // 2 :]
    return f"{lead + short(row.name, width - len(lead)):{width}}"


def _width(texts: Sequence[str], least: int, most: int) -> int:
    return min(max([least, *map(len, texts)]), most)


def _cells(words: Sequence[str], sizes: Sequence[int]) -> str:
    return " ".join(f"{word:>{size}}" for word, size in zip(words, sizes, strict=True))


def _numbers(what: Estimate | Account, sizes: Sequence[int]) -> str:
    tokens = [what.prompt_tokens, what.cached_tokens, what.output_tokens]
    words = [f"{count:,}" if count or what.prompt_tokens else "·" for count in tokens]
    if not what.prompt_tokens and what.output_tokens:
        words = ["·", "·", f"{what.output_tokens:,}"]
    words += [seconds(what.seconds), seconds(what.start_s)]
    return _cells(words[: len(sizes)], sizes)


def seconds(value: float) -> str:
    """Three digits, no unit."""
    if value < 0.0005:
        return "0"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


# The lines below the table.


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _totals(plan: Plan) -> list[str]:
    found, total = plan.estimates, plan.estimates.total
    known = names(plan.graph)
    lines = [
        f"tokens    {total.prompt_tokens:,} of prompts, {total.cached_tokens:,} of them cached "
        f"({_share(total.cached_tokens, total.prompt_tokens)}); "
        f"{total.computed_tokens:,} to compute, {total.output_tokens:,} to write",
        f"time      {seconds(total.seconds)} s; {seconds(found.work_s)} s one after another; "
        f"no schedule beats {seconds(found.bound_s)} s",
        "critical  " + _chain([known[node] for node in found.critical], WIDTH - 10),
    ]
    if total.price:
        lines.insert(2, f"price     {total.price:.4g}")
    return lines


def _chain(path: Sequence[str], width: int) -> str:
    """A path, with its middle left out where it is long."""
    text = " → ".join(path)
    for left in range(min(len(path) - 2, width // 4), 1, -1):  # a name and an arrow: 4 at least
        if len(text) <= width:
            break
        head, tail = path[: (left + 1) // 2], path[len(path) - left // 2 :]
        text = " → ".join([*head, f"… {len(path) - left} …", *tail])
    return short(text, width)


def _compared(plan: Plan, accounts: Mapping[NodeId, Account]) -> list[str]:
    total = plan.estimates.total
    real = sum_accounts(list(accounts.values()))
    lines = [f"{'':20}{'planned':>12}{'happened':>12}"]

    def line(word: str, planned: str, happened: str) -> None:
        lines.append(f"{word:20}{planned:>12}{happened:>12}")

    line("prompt tokens", f"{total.prompt_tokens:,}", f"{real.prompt_tokens:,}")
    line("  of them cached", *(_cached(part) for part in (total, real)))
    line("  computed", f"{total.computed_tokens:,}", f"{real.computed_tokens:,}")
    line("output tokens", f"{total.output_tokens:,}", f"{real.output_tokens:,}")
    line("seconds", seconds(total.seconds), seconds(real.end_s))
    if total.price:
        line("price", f"{total.price:.4g}", f"{plan.price(accounts):.4g}")
    if plan.grown:
        lines.append("planned: what was known before the run")
    return lines


def _cached(part: Estimate | Account) -> str:
    return f"{part.cached_tokens:,} {_share(part.cached_tokens, part.prompt_tokens):>4}"


def _passes(plan: Plan) -> list[str]:
    # what may change the output is only worth a line where it had something to decide
    shown = [note for note in plan.notes if note.text or note.legality != "lossy"]
    wide = max([13, *(len(note.name) for note in shown)]) + 1
    lines = []
    for note in shown:
        text = short(note.text or "nothing to do", WIDTH - wide - 9)
        lines.append(f"{note.name:{wide}}{note.legality:9}{text}")
    return lines
