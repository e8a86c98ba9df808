"""Walk the trie that the prompts of a graph form, each segment a constant number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

from ramify.ir import Block, Parallel, Prompt, Segment

T = TypeVar("T")
_depth = attrgetter("depth")


def fill(
    roots: Iterable[Prompt],
    known: dict[Prompt, T],
    make: Callable[[Prompt, Prompt | None, list[Segment]], T],
    renew: Callable[[Block], list[Prompt]] | None = None,
) -> None:
    """Set `known[p] = make(p, base, run)` for every joint of the trie that is not known yet.

    Joints are the roots given, the ends of the blocks that they join, the prompts where two paths
    part, and the empty prompt. `base` is the nearest joint above (None for the empty prompt) and
    `run` the segments between. A prompt comes after its base and after the ends of the blocks in
    its run. `renew(block)` may take prompts out of `known`, and returns them, when a block is met.
    """
    joints = _joints(roots, known, renew)
    for joint in sorted(joints, key=_depth):
        stack = [joint]
        while stack:
            prompt = stack[-1]
            if prompt in known:
                stack.pop()
                continue
            if prompt.parent is None:
                known[prompt] = make(prompt, None, [])
                continue
            base, run, missing = _run(prompt, known, joints)
            if missing:
                stack += missing
            else:
                known[prompt] = make(prompt, base, run)


def ends(segment: Parallel) -> list[Prompt]:
    """The prompts at the two ends of each block of a join."""
    if type(segment.blocks) is not tuple:
        return []
    return [prompt for block in segment.blocks for prompt in (block.start, block.stop)]


def _joints(
    roots: Iterable[Prompt],
    known: dict[Prompt, T],
    renew: Callable[[Block], list[Prompt]] | None,
) -> set[Prompt]:
    stack = list(roots)
    joints: set[Prompt] = set()
    seen: set[Prompt] = set()
    while stack:
        prompt = stack.pop()
        if prompt in known:
            continue
        joints.add(prompt)
        while prompt not in seen and prompt not in known:
            seen.add(prompt)
            segment = prompt.segment
            if type(segment) is Parallel:
                stack += ends(segment)
                if renew is not None and type(segment.blocks) is tuple:
                    for block in segment.blocks:
                        stack += renew(block)
            if prompt.parent is None:
                break
            prompt = prompt.parent
        joints.add(prompt)  # where this path meets another one, or what is known
    return joints


def _run(
    prompt: Prompt, known: dict[Prompt, T], joints: set[Prompt]
) -> tuple[Prompt, list[Segment], list[Prompt]]:
    """The base of a prompt, the segments after it, and what must be known first."""
    run: list[Segment] = []
    missing: list[Prompt] = []
    base = prompt
    while base.parent is not None:
        segment: Segment = base.segment  # type: ignore[assignment]
        run.append(segment)
        if type(segment) is Parallel:
            missing += [end for end in ends(segment) if end not in known]
        base = base.parent
        if base in known or base in joints:
            break
    if base not in known:
        missing.append(base)
    run.reverse()
    return base, run, missing
