"""The planner: passes over the graph, the cost model, the plan and its explanation."""

from ramify.ir import Graph
from ramify.planner.account import Account, Status
from ramify.planner.context import Context
from ramify.planner.footprint import Footprint, footprint, shared_with_before
from ramify.planner.order_rows import order_rows
from ramify.planner.passes import Legality, Pass, PassNote, Rewrite
from ramify.planner.plan import DEFAULT_PASSES, PASSES, Options, Plan, join, plan
from ramify.planner.rereads import Reread
from ramify.planner.work import work_keys


def _show(graph: Graph) -> dict[str, str]:
    """A graph as notebooks show it: drawn like a plan that no pass has touched."""
    return plan(graph, Context(), Options(passes=()))._repr_mimebundle_()


Graph.drawer = staticmethod(_show)

__all__ = [
    "DEFAULT_PASSES",
    "PASSES",
    "Account",
    "Context",
    "Footprint",
    "Legality",
    "Options",
    "Pass",
    "PassNote",
    "Plan",
    "Reread",
    "Rewrite",
    "Status",
    "footprint",
    "join",
    "order_rows",
    "plan",
    "shared_with_before",
    "work_keys",
]
