"""Plan a graph: run the passes over it, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ramify.errors import GraphError, ProgramError, Where
from ramify.ir import Graph, NodeId
from ramify.planner.context import Context
from ramify.planner.drop_unused import drop_unused
from ramify.planner.fold_text import fold_text
from ramify.planner.merge_common import merge_common
from ramify.planner.passes import Pass, PassNote
from ramify.planner.prioritize import prioritize

if TYPE_CHECKING:
    from ramify.planner.account import Account
    from ramify.planner.estimate import Estimates

PASSES: dict[str, Pass] = {
    p.name: p for p in (drop_unused, merge_common, fold_text, prioritize)
}
DEFAULT_PASSES = tuple(PASSES)  # dropping comes first: nobody is merged with what will not run


@dataclass(frozen=True, slots=True)
class Options:
    """What to plan with. `passes` None: the default ones; (): the naive twin, no passes."""

    passes: tuple[str, ...] | None = None

    def chosen(self) -> list[Pass]:
        """The passes themselves; raises ProgramError for a name that is none."""
        names = DEFAULT_PASSES if self.passes is None else self.passes
        for name in names:
            if name not in PASSES:
                hint = f"Known: {', '.join(PASSES)}."
                raise ProgramError(f"there is no pass {name!r}.", hint=hint)
        return [PASSES[name] for name in names]


@dataclass(eq=False)
class Plan:
    """What will run: the rewritten graph, what each pass did, and who goes first.

    Everything beside these is computed when asked for.
    """

    graph: Graph
    notes: tuple[PassNote, ...]
    priorities: dict[NodeId, float]  # seconds of work that wait for a node, its own included
    context: Context = field(repr=False)
    grown: frozenset[NodeId] = frozenset()  # nodes that the first plan of the run did not know

    @cached_property
    def estimates(self) -> Estimates:
        """Tokens, seconds and price, node by node and in all."""
        from ramify.planner.estimate import estimate

        return estimate(self.graph, self.context)

    def explain(self, accounts: Mapping[NodeId, Account] | None = None) -> str:
        """The plan as a table in text; with `accounts`, beside it what happened."""
        from ramify.planner.explain import explain

        return explain(self, accounts)

    def to_json(self) -> dict[str, Any]:
        return {}

    def to_mermaid(self) -> str:
        return ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.explain()}

    def check(self) -> None:
        """Raise GraphError where the plan contradicts itself."""
        self.graph.check(self.context.planned.keys() | set(self.context.done))
        if self.priorities.keys() != self.graph.nodes.keys():
            where = Where(self.graph.program)
            raise GraphError("priorities and nodes differ.", where=where)


def plan(graph: Graph, context: Context, options: Options = Options()) -> Plan:  # noqa: B008
    """Plan one graph, or the part by which a run's graph has grown, under the run's context.

    Raises ProgramError for an unknown pass.
    """
    notes: list[PassNote] = []
    priorities: Mapping[NodeId, float] = {}
    for step in options.chosen():
        rewrite = step(graph, context)
        graph = rewrite.graph
        priorities = rewrite.priorities or priorities
        notes.append(PassNote(step.name, step.legality, rewrite.changed, rewrite.note))
    context.planned.update(graph.nodes)
    known = dict(priorities) or dict.fromkeys(graph.nodes, 0.0)
    return Plan(graph, tuple(notes), known, context)


def join(plans: Sequence[Plan]) -> Plan:
    """The plans of one growing run as one plan; what came after the first is `grown`."""
    return plans[0]
