"""The plan as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ramify.ir import NodeId
from ramify.planner.account import Account

if TYPE_CHECKING:
    from ramify.planner.plan import Plan


def explain(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> str:
    return "\n".join(node.label for node in plan.graph.nodes.values())
