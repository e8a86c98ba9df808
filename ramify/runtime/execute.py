"""Running one task: trace, compute, give the result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ramify.backend.contract import Backend, Usage
from ramify.errors import NodeTimeoutError, ProgramError, RamifyError, Where
from ramify.ir import NodeId, Operand, refs_of
from ramify.planner import Account, join
from ramify.runtime.events import Sink
from ramify.runtime.policy import Policy
from ramify.runtime.result import Result
from ramify.runtime.run import Run
from ramify.runtime.task import RunResolver, Task
from ramify.runtime.user_code import user_code


async def execute(
    task: Task,
    backends: Mapping[str, Backend],
    policy: Policy,
    *,
    sink: Sink | None = None,
    home: asyncio.AbstractEventLoop | None = None,
    keep_plan: bool = True,
) -> Result:
    """Run a task to its result. Whatever ends it, nothing of it is left running."""
    run = Run(task.graph, backends, policy, sink=sink, home=home)
    return await finish(run, task, keep_plan=keep_plan)


async def finish(run: Run, task: Task, *, keep_plan: bool) -> Result:
    """Drive a run to its result and close it."""
    limit = asyncio.timeout(run.policy.timeouts.run_s)
    try:
        async with limit:
            value = await _traced(run, task)
            wanted = [value, *task.kept()]
            run.asked.update(ref.node for operand in wanted for ref in refs_of(operand))
            await run.compute(wanted, final=True)
        return result_of(run, task, value, keep_plan=keep_plan)
    except RamifyError as error:
        error.at(program=task.program)
        raise
    except TimeoutError as cause:
        if not limit.expired():
            raise
        raise NodeTimeoutError(
            f"not done after {run.policy.timeouts.run_s} s.",
            hint="Raise Timeouts(run_s=...).",
            where=Where(task.program),
        ) from cause
    finally:
        over = ProgramError("the run has ended.", hint="Use result[name].")
        run.fail(over.at(program=task.program))
        await run.close()
        task.release()


async def _traced(run: Run, task: Task) -> Operand:
    """Run the program's own code to its end."""
    resolver = RunResolver(run, asyncio.get_running_loop())
    return await user_code(run, task.body, resolver)


def result_of(run: Run, task: Task, value: Operand, *, keep_plan: bool) -> Result:
    """Read everything that the caller may want out of a finished run."""
    outcomes = run.outcomes
    variables: dict[str, Any] = {}
    for name, ref in task.variables().items():
        if ref.node in outcomes:
            outcome = outcomes.by_id[ref.node]
            failed = outcome.error is not None
            variables[name] = outcome.error if failed else outcomes.value(ref)
    usage = sum((o.usage for o in outcomes.by_id.values()), Usage())
    errors = tuple(
        o.error for o in outcomes.by_id.values() if o.error is not None and o.status == "failed"
    )
    return Result(
        program=task.program,
        value=outcomes.operand(value),
        variables=variables,
        errors=errors,
        usage=usage,
        seconds=run.now(),
        plan=join(run.plans) if keep_plan and run.plans else None,
        accounts=accounts_of(run) if keep_plan else {},
        notes=tuple(dict.fromkeys(run.notes)),
        joins=tuple(run.joins),
    )


def accounts_of(run: Run) -> dict[NodeId, Account]:
    """What really happened to each node."""
    found: dict[NodeId, Account] = {}
    for node, outcome in run.outcomes.by_id.items():
        usage = outcome.usage
        note = str(outcome.error) if outcome.error is not None else outcome.note
        found[node] = Account(
            status=outcome.status,
            start_s=outcome.started,
            end_s=outcome.finished,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            note=note,
        )
    return found
