"""Ways of writing one answer, of which one is chosen when it is planned or run."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class Way:
    """The chosen way, and why."""

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """An answer that may be written in one go or as a plan and branches of it side by side.

    The numbers are expectations in tokens, for the cost model. `chosen` is what the planner made
    of them; None leaves it to the router.
    """

    answer_tokens: int
    plan_tokens: int  # of the plan that the model writes
    asked_tokens: int  # of the request for it
    branch_tokens: int  # of what a branch asks with, beside what all of them share
    branches: int
    router_s: float = 0.0
    model: str = ""
    chosen: Way | None = None
