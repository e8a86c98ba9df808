"""Doing a node so that whatever happens becomes its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from ramify.errors import NodeCancelledError, NodeTimeoutError, RamifyError, UpstreamError, Where
from ramify.ir import Call, Each, First, Node
from ramify.runtime.outcome import Outcome

if TYPE_CHECKING:
    from ramify.runtime.run import Run


async def guarded(run: Run, node: Node, work: Awaitable[Outcome]) -> Outcome:
    """The outcome of the work, with its errors and times filled in; never raises."""
    started = run.now()
    outcome = await _caught(run, node, work)
    if outcome.error is not None:
        outcome.error.at(program=run.graph.program, node=node.label)
    outcome.started = started
    outcome.finished = run.now()
    return outcome


async def _caught(run: Run, node: Node, work: Awaitable[Outcome]) -> Outcome:
    # who only waits for others is not slow: the others have the limit, each of its own
    seconds = None if isinstance(node, Each | First) else run.policy.timeouts.node_s
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except asyncio.CancelledError:
        return Outcome(error=NodeCancelledError("cancelled."), status="cancelled")
    except RamifyError as error:
        return Outcome(error=error, status="failed")
    except (Exception, SystemExit, KeyboardInterrupt) as cause:
        # user functions and backends may raise anything; the last two would end the event loop
        if limit.expired():
            hint = "Raise Timeouts(node_s=...) or split it."
            named: RamifyError = NodeTimeoutError(f"not done after {seconds} s.", hint=hint)
        else:
            named = RamifyError(f"{type(cause).__name__}: {cause}")
        named.__cause__ = cause
        return Outcome(error=named, status="failed")


def upstream_failure(run: Run, node: Node) -> Outcome | None:
    """Why a node cannot run, when something that it reads has failed."""
    if run.outcomes.best_effort or type(node) is First:
        return None
    if type(node) is Call and node.settled:
        return None
    for source in node.inputs():
        outcome = run.outcomes.by_id.get(source)
        if outcome is not None and outcome.error is not None:
            reason = UpstreamError(
                f"not run, because {run.graph.nodes[source].label!r} failed.",
                where=Where(run.graph.program, node.label),
            )
            reason.__cause__ = outcome.error
            now = run.now()
            return Outcome(error=reason, status="failed", started=now, finished=now)
    return None
