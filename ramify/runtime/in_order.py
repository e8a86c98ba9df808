"""The naive twin of `Run`: one node after the other, in the order of the program, no passes.

Tests hold the two equal; nobody else should want it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ramify.backend.contract import Backend
from ramify.errors import RamifyError
from ramify.ir import First, Node, NodeId, Operand, refs_of
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
        failed = self._upstream_failure(node)
        if failed is not None:
            self._finish(node, failed)
            return
        try:
            outcome = self._first(node) if isinstance(node, First) else await perform(self, node)
        except RamifyError as error:
            error.at(program=self.graph.program, node=node.label)
            outcome = Outcome(error=error, status="failed")
        except Exception as cause:
            named = RamifyError(f"{type(cause).__name__}: {cause}")
            named.__cause__ = cause
            outcome = Outcome(error=named, status="failed")
        self._finish(node, outcome)

    def _first(self, node: First) -> Outcome:
        """In order, the first to finish are the first to be written."""
        return Outcome(value=Branches(node.branches[: node.k], tuple(range(node.k))), text="")


def in_order(task: Task, backends: Mapping[str, Backend], policy: Policy) -> InOrderRun:
    """A run of the task on the naive twin."""
    return InOrderRun(task.graph, backends, policy)
