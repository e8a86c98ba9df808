"""One run of one program: nodes start as soon as their inputs are there.

A run lives on the background loop. The program's own code runs elsewhere (a thread, or the
caller's loop) and asks for values through `compute`; everything here happens on one thread, so
there are no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from ramify.backend.contract import Backend
from ramify.backend.rendering import Rendering
from ramify.errors import NodeCancelledError, ProgramError, RamifyError
from ramify.ir import First, Graph, Node, NodeId, Operand, Ref, refs_of
from ramify.planner import Context, Options, Plan, Reread, plan, work_keys
from ramify.planner.cost import computes
from ramify.runtime.agreement import JoinAgreement
from ramify.runtime.events import Event, EventKind, Sink
from ramify.runtime.guard import guarded, upstream_failure
from ramify.runtime.load import Load
from ramify.runtime.outcome import Outcome, Outcomes
from ramify.runtime.policy import Policy
from ramify.runtime.shared import SharedWork
from ramify.runtime.work import perform


class _Waiter:
    """Wakes one `compute` when the last of its nodes is done."""

    __slots__ = ("future", "missing")

    def __init__(self, missing: int, future: asyncio.Future[None]) -> None:
        self.missing = missing
        self.future = future


class Run:
    """The state of a run: what is planned, what is under way, what is done.

    `gate`, where there is one, holds the first plan back until a batch runner has ordered it;
    `turn(seconds, begun=)` makes priorities of critical paths among the rows of a batch.
    """

    def __init__(
        self,
        graph: Graph,
        backends: Mapping[str, Backend],
        policy: Policy,
        *,
        sink: Sink | None = None,
        shared: SharedWork | None = None,
        home: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.graph = graph
        self.backends = backends
        self.policy = policy
        self.sink = sink
        self.shared = shared
        self.home = home  # the loop that async user code belongs to; None: this one
        self.outcomes = Outcomes(best_effort=policy.on_error == "best_effort")
        self.plans: list[Plan] = []
        self.begun = time.perf_counter()
        self.error: BaseException | None = None
        self.load = Load(backends)
        self.asked: set[NodeId] = set()  # by the program itself: no `First` cancels it
        self.gate: Callable[[], Any] | None = None
        self.turn: Callable[..., float] | None = None
        self.begun_work = False  # whether a backend has answered
        self.notes: list[str] = []  # what somebody should know who looks at the result only
        self.joins: list[JoinAgreement] = []
        self._planned: dict[NodeId, Node] = {}
        self._lost: set[NodeId] = set()  # failed or cancelled
        self.context = Context(
            profiles={name: backend.profile() for name, backend in backends.items()},
            done=self._planned.keys(),
            lost=self._lost,
            parallel_blocks={
                name for name, one in backends.items() if one.capabilities.parallel_blocks
            },
            count=backends[""].renderer.count_text,
            load=self.load,
        )
        self.options = Options() if policy.optimize else Options(passes=())
        self.keys: dict[NodeId, Hashable] = {}  # of the planned nodes; filled for shared work
        self.rereads: dict[NodeId, Reread] = {}
        self._pending: dict[NodeId, int] = {}
        self._readers: dict[NodeId, list[NodeId]] = {}
        self._waiters: dict[NodeId, list[_Waiter]] = {}
        self._tasks: dict[NodeId, asyncio.Task[None]] = {}
        self._priorities: dict[NodeId, float] = {}
        self._renderings: dict[str, Rendering] = {}

    # what the program's side asks for

    async def compute(self, operands: Iterable[Operand], *, final: bool = False) -> None:
        """Run what the operands need and return when it is done.

        `final` says that the program has ended: whatever is left is planned too, so that unused
        work is dropped and named, and calls with effects are made.
        """
        if self.gate is not None:
            await self.gate()
        roots = list(dict.fromkeys(r.node for operand in operands for r in refs_of(operand)))
        if self.error is not None:
            raise self.error
        extra = self._schedule(roots, final)
        await self.wait(roots + extra)

    async def wait(self, nodes: Iterable[NodeId]) -> None:
        """Return when the nodes are done; raise when the run has failed."""
        missing = [n for n in dict.fromkeys(nodes) if n not in self.outcomes.by_id]
        if missing:
            waiter = _Waiter(len(missing), asyncio.get_running_loop().create_future())
            for node in missing:
                self._waiters.setdefault(node, []).append(waiter)
            await waiter.future
        if self.error is not None:
            raise self.error

    # planning

    def _schedule(self, roots: list[NodeId], final: bool) -> list[NodeId]:
        """Plan what is new, start what is ready; returns nodes to wait for besides the roots."""
        known = self._planned.keys()
        if final or not self.policy.optimize:
            new = [node for i, node in list(self.graph.nodes.items()) if i not in known]
        else:
            wanted = self.graph.needed(roots, known)
            new = [self.graph.nodes[i] for i in sorted(wanted)]
        if not new:
            return []
        graph = self.graph.with_nodes(new)
        graph.outputs = tuple(Ref(root) for root in roots)
        made = plan(graph, self.context, self.options)
        self.plans.append(made)
        self._priorities.update(made.priorities)
        self.rereads.update(made.rereads)
        self._emit_planned(made)
        nodes = made.graph.nodes
        self._planned.update(nodes)
        if self.shared is not None:
            self.keys.update(work_keys(made.graph, self.context))
        ready: list[Node] = []
        for node in nodes.values():
            waits = 0
            if type(node) is not First:
                for source in node.inputs():
                    if source not in self.outcomes.by_id:
                        self._readers.setdefault(source, []).append(node.id)
                        waits += 1
            if waits:
                self._pending[node.id] = waits
            else:
                ready.append(node)
        for node in sorted(ready, key=lambda n: -self._priorities.get(n.id, 0.0)):
            self._start(node)
        return list(nodes) if final else []

    # running

    def _start(self, node: Node) -> None:
        reason = upstream_failure(self, node)
        if reason is not None:
            self._finish(node, reason)
            return
        self._tasks[node.id] = asyncio.get_running_loop().create_task(self._work(node))

    async def _work(self, node: Node) -> None:
        self.emit("started", node)
        work = perform if self.shared is None else self.shared.perform
        outcome = await guarded(self, node, work(self, node))
        self._tasks.pop(node.id, None)
        self._finish(node, outcome)

    def _finish(self, node: Node, outcome: Outcome) -> None:
        """Record an outcome, wake who waited for it, start what can start now."""
        stack = [(node, outcome)]
        while stack:
            node, outcome = stack.pop()
            if node.id in self.outcomes.by_id:
                continue
            self.outcomes.by_id[node.id] = outcome
            self._emit_finished(node, outcome)
            self.begun_work = self.begun_work or computes(node)
            if outcome.error is not None:
                self._lost.add(node.id)
            if outcome.status == "failed" and self.policy.on_error == "fail":
                self.fail(outcome.error or RamifyError("failed without an error."))
            for waiter in self._waiters.pop(node.id, ()):
                waiter.missing -= 1
                if waiter.missing == 0 and not waiter.future.done():
                    waiter.future.set_result(None)
            for reader_id in self._readers.pop(node.id, ()):
                self._pending[reader_id] -= 1
                if self._pending[reader_id] or self.error is not None:
                    continue
                del self._pending[reader_id]
                reader = self._planned[reader_id]
                if reader_id in self.outcomes.by_id:
                    continue  # it was cancelled before it could start
                reason = upstream_failure(self, reader)
                if reason is not None:
                    stack.append((reader, reason))
                else:
                    self._start(reader)

    def fail(self, error: BaseException) -> None:
        """End the run: cancel what is under way, wake everybody who waits with the error."""
        if self.error is not None:
            return
        self.error = error
        for task in self._tasks.values():
            task.cancel()
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_result(None)  # wait() raises the error
        self._waiters.clear()

    async def close(self) -> None:
        """Cancel what is still under way and wait until it has freed what it held."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def cancel(self, nodes: Iterable[NodeId]) -> None:
        """Cancel nodes that nobody waits for any more; nodes that were not started never are."""
        for node_id in nodes:
            task = self._tasks.get(node_id)
            if task is not None:
                task.cancel()
            elif node_id in self._planned and node_id not in self.outcomes.by_id:
                now = self.now()
                outcome = Outcome(
                    error=NodeCancelledError("cancelled.").at(program=self.graph.program),
                    status="cancelled",
                    started=now,
                    finished=now,
                )
                self._finish(self._planned[node_id], outcome)

    def planned(self) -> Mapping[NodeId, Node]:
        """Every node that was planned so far."""
        return self._planned

    # what nodes need to work

    def backend(self, node: Node) -> Backend:
        name: str = getattr(node, "model", "")
        if name in self.backends:
            return self.backends[name]
        known = ", ".join(sorted(n for n in self.backends if n)) or "none"
        raise ProgramError(
            f"model {name!r} is not among the backends of this run.",
            hint=f"Named backends: {known}. Pass backend={{{name!r}: ...}}.",
        )

    def rendering(self, model: str, backend: Backend) -> Rendering:
        found = self._renderings.get(model)
        if found is None:
            found = self._renderings[model] = backend.renderer.rendering(self.outcomes)
        return found

    def priority(self, node: Node) -> float:
        """Seconds of work that wait for this node; in a batch, rows under way go first."""
        path_s = self._priorities.get(node.id, 0.0)
        return path_s if self.turn is None else self.turn(path_s, begun=self.begun_work)

    def now(self) -> float:
        return time.perf_counter() - self.begun

    def emit(self, kind: EventKind, node: Node, text: str = "") -> None:
        if self.sink is not None:
            self.sink(Event(kind, node.id, node.name, node.scope, text, self.now()))

    def say(self, node: Node, text: str) -> None:
        """Note something about a node: an event, and a line of the result's notes."""
        self.notes.append(f"{node.label}: {text}")
        self.emit("note", node, text)

    def _emit_planned(self, made: Plan) -> None:
        if self.sink is not None:
            for node in made.graph.nodes.values():
                self.emit("planned", node)

    def _emit_finished(self, node: Node, outcome: Outcome) -> None:
        if self.sink is None:
            return
        if outcome.error is None:
            text = outcome.text if outcome.text is not None else ""
            self.emit("finished", node, text)
        else:
            kind: EventKind = "cancelled" if outcome.status == "cancelled" else "failed"
            self.emit(kind, node, str(outcome.error))
