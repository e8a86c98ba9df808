"""The naive twin of `Run`: one node after the other, in the order of the program, no passes.

Tests hold the two equal; nobody else should want it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ramify.backend.contract import Backend
from ramify.ir import First, Node, NodeId, Operand, refs_of
from ramify.runtime.fan import values_of
from ramify.runtime.guard import guarded, upstream_failure
from ramify.runtime.outcome import Branches, Outcome
from ramify.runtime.policy import Policy
from ramify.runtime.run import Run
from ramify.runtime.task import Task
from ramify.runtime.work import perform


class InOrderRun(Run):
    """Runs every node that was traced, by its number."""

    async def compute(self, operands: Iterable[Operand], *, final: bool = False) -> None:
        roots = {r.node for operand in operands for r in refs_of(operand)}
        wanted = set(self.graph.nodes) if final else self.graph.needed(roots)
        for node_id in sorted(wanted):
            if node_id not in self.outcomes.by_id:
                await self._one(self.graph.nodes[node_id])
        if self.error is not None:
            raise self.error

    async def wait(self, nodes: Iterable[NodeId]) -> None:
        missing = [node for node in nodes if node not in self.outcomes.by_id]
        assert not missing, f"in order, {missing} should be done"

    async def _one(self, node: Node) -> None:
        outcome = upstream_failure(self, node)
        if outcome is None:
            work = self._first(node) if isinstance(node, First) else perform(self, node)
            outcome = await guarded(self, node, work)
        self._finish(node, outcome)

    async def _first(self, node: First) -> Outcome:
        """In order, the first to finish are the first to be written."""
        won = node.k
        if node.until is not None:
            counts = range(1, node.k + 1)
            won = next((n for n in counts if node.until(values_of(self, node, range(n)))), node.k)
        return Outcome(value=Branches(node.branches[:won], tuple(range(won))), text="")


def in_order(task: Task, backends: Mapping[str, Backend], policy: Policy) -> InOrderRun:
    """A run of the task on the naive twin."""
    return InOrderRun(task.graph, backends, policy)
