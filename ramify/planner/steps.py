"""When each node ran, drawn in steps instead of seconds: text that is the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

from ramify.ir import First, NodeId
from ramify.planner.account import Account
from ramify.planner.labels import names, short
from ramify.planner.order import in_order

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

PREFILL = 64  # prompt tokens that a step computes beside the sequences that decode
WIDTH, NAME = 48, 20


def steps(plan: Plan, accounts: Mapping[NodeId, Account]) -> str:
    """A line per call: its name, its bar, the prompt tokens computed and found, those written.

    A node starts when the last of what it reads is done; `:` is a step of prefill (64 tokens), `#`
    one of decoding (a token). Sequences do not wait for each other, as on a backend with room for
    all of them. Calls that were cancelled are dotted over what they would have taken at least.
    """
    graph = plan.graph
    ends: dict[NodeId, int] = {}
    bars: list[tuple[NodeId, int, int, int]] = []  # node, start, steps of prefill, of decoding
    for node_id, sources in in_order(graph):
        node = graph.nodes[node_id]
        account = accounts.get(node_id)
        kept = [s for s in sources if s not in accounts or accounts[s].status != "cancelled"]
        waits = kept if isinstance(node, First) else sources
        start = max((ends.get(source, 0) for source in waits), default=0)
        prefill = decode = 0
        if account is not None and account.prompt_tokens:
            prefill = ceil((account.prompt_tokens - account.cached_tokens) / PREFILL)
            decode = account.output_tokens
        if not sources and account is not None and node_id in plan.grown:
            start = _looked(ends, accounts, account)
        ends[node_id] = start + prefill + decode
        if prefill + decode or (account is not None and account.status == "cancelled"):
            bars.append((node_id, start, prefill, decode))
    return _drawn(plan, accounts, bars, max(ends.values(), default=1))


def _looked(
    ends: Mapping[NodeId, int], accounts: Mapping[NodeId, Account], account: Account
) -> int:
    """The step at which a program asked for a node that reads none, behind a look at a value."""
    before = (
        step
        for node_id, step in ends.items()
        if node_id in accounts and accounts[node_id].end_s <= account.start_s
    )
    return max(before, default=0)


def _drawn(
    plan: Plan,
    accounts: Mapping[NodeId, Account],
    bars: list[tuple[NodeId, int, int, int]],
    end: int,
) -> str:
    scale = min(1.0, WIDTH / max(end, 1))
    known = names(plan.graph)
    lines = [f"{'':{NAME}} {'steps: ' + str(end):{WIDTH}} computed cached written"]
    for node_id, start, prefill, decode in bars:
        account = accounts[node_id]
        begin, middle = round(start * scale), round((start + prefill) * scale)
        stop = max(round((start + prefill + decode) * scale), middle + 1)
        bar = " " * begin + ":" * (middle - begin) + "#" * (stop - middle)
        if account.status == "cancelled":
            bar = " " * begin + "." * 3 + " cancelled"
        numbers = (
            f"{account.prompt_tokens - account.cached_tokens:8} {account.cached_tokens:6} "
            f"{account.output_tokens:7}"
        )
        name = short(known[node_id], NAME)
        lines.append(f"{name:{NAME}} {bar:{WIDTH}} {numbers}".rstrip())
    return "\n".join(lines)
