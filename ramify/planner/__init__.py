"""The planner: passes over the graph, the cost model, the plan and its explanation."""

from ramify.planner.account import Account, Status
from ramify.planner.context import Context
from ramify.planner.order_rows import order_rows
from ramify.planner.passes import Legality, Pass, PassNote, Rewrite
from ramify.planner.plan import DEFAULT_PASSES, PASSES, Options, Plan, join, plan
from ramify.planner.work import work_keys

__all__ = [
    "DEFAULT_PASSES",
    "PASSES",
    "Account",
    "Context",
    "Legality",
    "Options",
    "Pass",
    "PassNote",
    "Plan",
    "Rewrite",
    "Status",
    "join",
    "order_rows",
    "plan",
    "work_keys",
]
