"""The plan as plain data, for files and other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ramify.ir import NodeId
from ramify.planner.account import Account
from ramify.planner.labels import names, what
from ramify.planner.rows import sum_accounts

if TYPE_CHECKING:
    from ramify.planner.plan import Plan


def to_json(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> dict[str, Any]:
    """The plan as an object for `json.dumps`: nodes in order, totals, critical path, passes."""
    known = names(plan.graph)
    found = plan.estimates
    grown = plan.grown
    nodes = []
    for node in plan.graph.nodes.values():
        estimate = found.nodes.get(node.id)
        account = accounts.get(node.id) if accounts is not None else None
        nodes.append(
            {
                "id": node.id,
                "name": known[node.id],
                "kind": type(node).__name__,
                "does": what(node, known),
                "reads": node.inputs(),
                "priority_s": plan.priorities.get(node.id, 0.0),
                "grown": node.id in grown,
                "planned": asdict(estimate) if estimate is not None else None,
                "happened": asdict(account) if account is not None else None,
            }
        )
    return {
        "program": plan.graph.program,
        "nodes": nodes,
        "critical": list(found.critical),
        "bound_s": found.bound_s,
        "work_s": found.work_s,
        "planned": asdict(found.total),
        "happened": asdict(sum_accounts(list(accounts.values()))) if accounts else None,
        "passes": [asdict(note) for note in plan.notes],
    }
