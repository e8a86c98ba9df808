"""The rows of a plan's table: a tree of branches with their nodes, planned beside happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from ramify.ir import Node, NodeId
from ramify.planner.account import Account
from ramify.planner.estimate import Estimate
from ramify.planner.labels import names, scope_path, starred, what

if TYPE_CHECKING:
    from ramify.planner.plan import Plan

SIBLINGS = 8  # more branches of one name than this are shown as the first few and the rest in one
SHOWN = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a node, a branch that holds nodes, or the rest of many alike branches.

    `after` names what the node reads; `grown` says that the first plan of the run did not know it.
    """

    tree: str  # the lines that lead to the name
    name: str
    what: str = ""
    after: tuple[str, ...] = ()
    planned: Estimate | None = None
    happened: Account | None = None
    grown: bool = False
    node: NodeId | None = None


@dataclass(slots=True)
class _Branch:
    """A branch under construction; `parts` holds branches by name and nodes by id, as they came."""

    name: str = ""
    parts: dict[str | NodeId, _Branch | Node] = field(default_factory=dict)

    def nodes(self) -> Iterator[Node]:
        stack: list[_Branch | Node] = [self]
        while stack:
            part = stack.pop()
            if isinstance(part, _Branch):
                stack += reversed(part.parts.values())
            else:
                yield part


def rows(plan: Plan, accounts: Mapping[NodeId, Account] | None = None) -> list[Row]:
    """The rows of a plan, in the order of the program, branch by branch."""
    root = _Branch()
    for node in plan.graph.nodes.values():
        branch = root
        for part in scope_path(node, plan.graph.program):
            below = branch.parts.setdefault(part, _Branch(part))
            assert isinstance(below, _Branch)
            branch = below
        branch.parts[node.id] = node
    maker = _Maker(plan, accounts or {})
    maker.branch(root)
    return maker.rows


def sum_estimates(parts: Sequence[Estimate]) -> Estimate:
    """Tokens and prices added up, and the seconds from the first start to the last end."""
    start = min(part.start_s for part in parts)
    return Estimate(
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        seconds=max(part.end_s for part in parts) - start,
        start_s=start,
        price=sum(part.price for part in parts),
    )


def sum_accounts(parts: Sequence[Account]) -> Account:
    """The same for what happened; the note counts what did not end well."""
    bad = Counter(part.status for part in parts if part.status in ("failed", "cancelled"))
    return Account(
        status="failed" if bad["failed"] else "cancelled" if bad else "done",
        start_s=min((part.start_s for part in parts), default=0.0),
        end_s=max((part.end_s for part in parts), default=0.0),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        note=", ".join(f"{count} {status}" for status, count in bad.items()),
    )


def _folded(parts: list[_Branch | Node]) -> list[_Branch | Node | list[_Branch]]:
    """Of many branches in a row that differ in their index only, the first few and the rest."""
    found: list[_Branch | Node | list[_Branch]] = []
    for key, group in groupby(parts, key=_alike):
        same = list(group)
        if key is None or len(same) <= SIBLINGS:
            found += same
            continue
        found += same[:SHOWN]
        found.append([part for part in same[SHOWN:] if isinstance(part, _Branch)])
    return found


def _alike(part: _Branch | Node) -> str | None:
    return starred(part.name) if isinstance(part, _Branch) else None


_Stack = list[tuple[str, str, _Branch | Node | list[_Branch]]]


class _Maker:
    def __init__(self, plan: Plan, accounts: Mapping[NodeId, Account]) -> None:
        self.plan = plan
        self.accounts = accounts
        self.names = names(plan.graph)
        self.estimates = plan.estimates.nodes
        self.rows: list[Row] = []

    def branch(self, root: _Branch) -> None:
        """Write what a branch holds, without recursion: branches may nest deep."""
        stack: _Stack = []
        self._push(stack, root, "", top=True)
        while stack:
            lead, below, part = stack.pop()
            if isinstance(part, list):
                self._rest(lead, part)
                continue
            path: list[str] = []
            while isinstance(part, _Branch) and len(part.parts) == 1:
                path.append(part.name)  # a branch of one thing is that thing
                (part,) = part.parts.values()
            if isinstance(part, _Branch):
                self.rows.append(Row(lead, ".".join([*path, part.name])))
                self._push(stack, part, below)
            else:
                self.rows.append(self._node(lead, part, ".".join([*path, part.label])))

    def _push(self, stack: _Stack, branch: _Branch, lead: str, *, top: bool = False) -> None:
        parts = _folded(list(branch.parts.values()))
        for part in reversed(parts):
            last = part is parts[-1]
            head = "" if top else lead + ("└ " if last else "├ ")
            stack.append((head, "" if top else lead + ("  " if last else "│ "), part))

    def _node(self, lead: str, node: Node, name: str) -> Row:
        return Row(
            tree=lead,
            name=name,
            what=what(node, self.names),
            after=tuple(self.names.get(source, f"#{source}") for source in node.inputs()),
            planned=self.estimates.get(node.id),
            happened=self.accounts.get(node.id),
            grown=node.id in self.plan.grown,
            node=node.id,
        )

    def _rest(self, lead: str, branches: Sequence[_Branch]) -> None:
        nodes = [node for branch in branches for node in branch.nodes()]
        planned = [self.estimates[n.id] for n in nodes if n.id in self.estimates]
        happened = [self.accounts[n.id] for n in nodes if n.id in self.accounts]
        self.rows.append(
            Row(
                tree=lead,
                name=f"… {len(branches)} more",
                what=f"{len(nodes)} nodes",
                planned=sum_estimates(planned) if planned else None,
                happened=sum_accounts(happened) if happened else None,
                grown=not planned,
            )
        )
