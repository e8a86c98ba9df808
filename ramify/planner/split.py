"""Whether an answer is worth splitting into branches: the cost rule of `organize_output`."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from ramify.ir.ways import SEQUENTIAL, Way, Ways

if TYPE_CHECKING:
    from ramify.backend.contract import Profile

MARGIN = 0.8  # splitting has to save a fifth: expectations are not facts
GAIN = 1.2  # doubling a batch under the knee gives at least a fifth more tokens a second


def sequential_s(ways: Ways, profile: Profile, load: int) -> float:
    """Seconds of the plain answer behind its prompt, with `load` sequences beside it."""
    return ways.answer_tokens * profile.step_s(1 + load)


def split_s(ways: Ways, profile: Profile, load: int) -> float:
    """Seconds of router, plan and branches behind the same prompt.

    What the branches share is computed already: they read the plan where it was written.
    """
    computed = ways.asked_tokens + ways.branches * ways.branch_tokens
    longest = ceil(ways.answer_tokens / ways.branches)
    return (
        ways.router_s
        + computed * profile.prefill_s
        + ways.plan_tokens * profile.step_s(1 + load)
        + longest * profile.step_s(ways.branches + load)
    )


def knee(profile: Profile) -> int:
    """The batch from which on more sequences hardly give more tokens a second."""
    batch = 1
    while 2 * batch <= profile.max_batch:
        gain = 2 * profile.step_s(batch) / profile.step_s(2 * batch)
        if gain < GAIN:
            break
        batch *= 2
    return batch


def refusal(ways: Ways, profile: Profile, load: int) -> Way | None:
    """Why the answer is written in one go; None where splitting pays."""
    full = knee(profile)
    if load + ways.branches > full:
        return Way(
            SEQUENTIAL,
            f"the batch is full: {load} under way and {ways.branches} branches, where it pays "
            f"up to {full}",
        )
    split, plain = split_s(ways, profile, load), sequential_s(ways, profile, load)
    if split >= MARGIN * plain:
        return Way(SEQUENTIAL, f"{split:.3g} s split against {plain:.3g} s in one go: too little")
    return None
