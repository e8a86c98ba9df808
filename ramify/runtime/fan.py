"""Work on branches: fan-out when a list is known, and the first k branches to finish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ramify.errors import ProgramError, RamifyError
from ramify.ir import Branch, Each, First, NodeId, Ref, Way
from ramify.planner.split import refusal
from ramify.runtime.outcome import Branches, Outcome, text_of
from ramify.runtime.user_code import user_code

if TYPE_CHECKING:
    from ramify.runtime.run import Run


async def each(run: Run, node: Each) -> Outcome:
    items = _way(run, node) if node.ways is not None else run.outcomes.operand(node.items)
    if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
        raise ProgramError(
            f"each needs a list, but its value is {text_of(items)[:60]!r}.",
            hint="Generate a list: rf.gen(name, schema=list[str]).",
        )
    items = list(items)
    note = f"{items[0].name}: {items[0].reason}" if node.ways is not None else ""
    if node.limit is not None and len(items) > node.limit:
        note = f"{len(items)} items, the first {node.limit} are used"
        run.say(node, note)
    branches: tuple[Branch, ...] = await user_code(run, node.grow, items[: node.limit])
    run.emit("grown", node, f"{len(branches)} branches")
    await run.compute([Ref(source) for branch in branches for source in branch.sources()])
    failed = [found for branch in branches if (found := _failure(run, branch)) is not None]
    if failed and not run.outcomes.best_effort:
        raise failed[0]
    if failed:
        note = f"{len(failed)} of {len(branches)} branches failed and are left out"
        run.say(node, note)
    return Outcome(value=Branches(branches, tuple(range(len(branches)))), text="", note=note)


def _way(run: Run, node: Each) -> list[Way]:
    """The way in which an answer is written: what was planned, what the load allows by now, what
    the router says."""
    ways = node.ways
    assert ways is not None
    if ways.chosen is not None:
        return [ways.chosen]
    refused = refusal(ways, run.context.profile(ways.model), run.load(ways.model))
    found: list[Way] = run.outcomes.operand(node.items)
    return [refused] if refused is not None else found


def _failure(run: Run, branch: Branch) -> RamifyError | None:
    """The first error of a branch."""
    errors = (run.outcomes.by_id[source].error for source in branch.sources())
    return next((error for error in errors if error is not None), None)


async def first(run: Run, node: First) -> Outcome:
    waits: dict[asyncio.Task[None], int] = {}
    for index, branch in enumerate(node.branches):
        waits[asyncio.create_task(run.wait(branch.sources()))] = index
    won: list[int] = []
    decided = False
    error: RamifyError | None = None
    try:
        pending = set(waits)
        while pending and len(won) < node.k and not decided:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waits.__getitem__):
                task.result()
                sources = node.branches[waits[task]].sources()
                failed = [source for source in sources if run.outcomes.failed([source])]
                if failed:
                    error = run.outcomes.by_id[failed[0]].error
                elif len(won) < node.k and not decided:
                    won.append(waits[task])
                    decided = node.until is not None and node.until(values_of(run, node, won))
    finally:
        for task in waits:
            task.cancel()
    if len(won) < node.k and not decided and not run.outcomes.best_effort:
        raise error or ProgramError(
            f"only {len(won)} of {node.k} branches finished.", hint="Ask for fewer."
        )
    branches = tuple(node.branches[i] for i in won)
    run.cancel(_losers(run, node, branches))
    note = f"branches {', '.join(str(i) for i in won)} of {len(node.branches)}"
    return Outcome(value=Branches(branches, tuple(won)), text="", note=note)


def values_of(run: Run, node: First, won: Iterable[int]) -> list[dict[str, Any]]:
    """The named values of branches that are done."""
    return [
        {name: run.outcomes.value(ref) for name, ref in node.branches[index].names}
        for index in won
    ]


def _losers(run: Run, node: First, won: Iterable[Branch]) -> set[NodeId]:
    """What only the branches that lost need: no other node reads it, nor the program."""
    chosen = {source for branch in won for source in branch.sources()} | run.asked
    done = run.outcomes.by_id.keys()
    candidates = run.graph.needed(node.inputs(), done)
    others = [n for i, n in run.planned().items() if i not in candidates and i != node.id]
    read = {source for other in others for source in other.inputs()}
    return candidates - run.graph.needed(chosen | read, {*done, node.id})
