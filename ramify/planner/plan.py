"""Plan a graph: run the passes over it, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from ramify.errors import GraphError, ProgramError, Where
from ramify.ir import Graph, NodeId
from ramify.planner.context import Context
from ramify.planner.drop_unused import drop_unused
from ramify.planner.fold_text import fold_text
from ramify.planner.merge_common import merge_common
from ramify.planner.organize_output import organize_output
from ramify.planner.passes import Pass, PassNote
from ramify.planner.prioritize import prioritize
from ramify.planner.rereads import Reread, rereads

if TYPE_CHECKING:
    from ramify.planner.account import Account
    from ramify.planner.estimate import Estimates

PASSES: dict[str, Pass] = {
    p.name: p for p in (organize_output, drop_unused, merge_common, fold_text, prioritize)
}
# what is decided comes first, then dropping: nobody is merged with what will not run
DEFAULT_PASSES = tuple(PASSES)


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
    rereads: dict[NodeId, Reread] = field(default_factory=dict, repr=False)
    first: Plan | None = field(default=None, repr=False)  # of a run that grew; `join` fills it

    @cached_property
    def grown(self) -> frozenset[NodeId]:
        """Nodes that the first plan of the run did not know."""
        known = self.first.graph.nodes if self.first is not None else self.graph.nodes
        return frozenset(node for node in self.graph.nodes if node not in known)

    @cached_property
    def estimates(self) -> Estimates:
        """Tokens, seconds and price, node by node and in all; of grown nodes nothing."""
        from ramify.planner.estimate import estimate

        return self.first.estimates if self.first else estimate(self.graph, self.context)

    def price(self, accounts: Mapping[NodeId, Account]) -> float:
        """The price of what happened, in the unit of the backends' profiles."""
        from ramify.planner.estimate import price

        nodes = self.graph.nodes
        return sum(
            price(self.context.profile(getattr(nodes.get(i), "model", "")), account)
            for i, account in accounts.items()
        )

    def explain(self, accounts: Mapping[NodeId, Account] | None = None) -> str:
        """The plan as a table in text; with `accounts`, beside it what happened."""
        from ramify.planner.explain import explain

        return explain(self, accounts)

    def to_json(self, accounts: Mapping[NodeId, Account] | None = None) -> dict[str, Any]:
        """The plan, and what happened, as one object of plain lists, dicts, texts and numbers."""
        from ramify.planner.export import to_json

        return to_json(self, accounts)

    def to_mermaid(self) -> str:
        """The graph as the source of a Mermaid flowchart."""
        from ramify.planner.mermaid import mermaid

        return mermaid(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For notebooks: the graph as inline SVG over the table. Nothing leaves the machine."""
        from ramify.planner.html import html_of

        return {"text/plain": self.explain(), "text/html": html_of(self)}

    def check(self) -> None:
        """Raise GraphError where the plan contradicts itself."""
        where = Where(self.graph.program)
        self.graph.check(self.context.planned.keys() | set(self.context.done))
        if self.priorities.keys() != self.graph.nodes.keys():
            raise GraphError("nodes and priorities are not of the same nodes.", where=where)
        for node in self.graph.nodes.values() if self.first is None else ():
            for source in node.inputs():
                if self.priorities.get(source, inf) < self.priorities[node.id]:
                    raise GraphError(f"{node.label!r} goes before what it reads.", where=where)


def plan(graph: Graph, context: Context, options: Options = Options()) -> Plan:
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
    again = rereads(graph) if priorities else {}
    return Plan(graph, tuple(notes), known, context, again)


def join(plans: Sequence[Plan]) -> Plan:
    """The plans of one run that grew, as one; what came after the first is `grown`."""
    if len(plans) == 1:
        return plans[0]
    first = plans[0]
    graph = first.graph.with_nodes(node for one in plans for node in one.graph.nodes.values())
    graph.outputs = plans[-1].graph.outputs
    notes: dict[str, list[PassNote]] = {}
    priorities: dict[NodeId, float] = {}
    for one in plans:
        priorities.update(one.priorities)
        for note in one.notes:
            notes.setdefault(note.name, []).append(note)
    again = {node: found for one in plans for node, found in one.rereads.items()}
    joined = tuple(_joined(same) for same in notes.values())
    return Plan(graph, joined, priorities, first.context, again, first)


def _joined(notes: list[PassNote]) -> PassNote:
    """What one pass did in all plans of a run."""
    first = notes[0]
    changed = sum(note.changed for note in notes)
    texts = dict.fromkeys(note.text for note in notes if note.changed) or [first.text]
    return PassNote(first.name, first.legality, changed, "; ".join(texts))
