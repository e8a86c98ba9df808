"""Walk the trie that the prompts of a graph form, each segment a constant number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

from ramify.ir import Answer, Block, Parallel, Prompt, Segment

T = TypeVar("T")
_depth = attrgetter("depth")


def ends(segment: Parallel) -> list[Prompt]:
    """The prompts at the two ends of each block of a join."""
    if not isinstance(segment.blocks, tuple):
        return []
    return [prompt for block in segment.blocks for prompt in (block.start, block.stop)]


def joints(roots: Iterable[Prompt], known: dict[Prompt, T]) -> tuple[set[Prompt], list[Block]]:
    """The prompts at which something happens, up to those that are known, and the blocks joined.

    Joints are the roots given, the ends of the blocks that they join, the prompts where two paths
    part, what an answer continues, and the empty prompt.
    """
    stack = list(roots)
    found: set[Prompt] = set()
    seen: set[Prompt] = set()
    blocks: list[Block] = []
    while stack:
        prompt = stack.pop()
        if prompt in known:
            continue
        found.add(prompt)
        while prompt not in seen and prompt not in known:
            seen.add(prompt)
            segment, parent = prompt.segment, prompt.parent
            if parent is None:
                break
            if type(segment) is Answer:
                found.add(parent)
            elif type(segment) is Parallel and isinstance(segment.blocks, tuple):
                stack += ends(segment)
                blocks += segment.blocks
            prompt = parent
        found.add(prompt)  # where this path meets another one, or what is known
    return found, blocks


def fill(
    found: set[Prompt],
    known: dict[Prompt, T],
    make: Callable[[Prompt, Prompt | None, list[Segment]], T],
) -> None:
    """Set `known[p] = make(p, base, run)` for every joint that is not known yet.

    `base` is the nearest joint above (None for the empty prompt) and `run` the segments between. A
    prompt comes after its base and after the ends of the blocks in its run.
    """
    for joint in sorted(found, key=_depth):
        stack = [joint]
        while stack:
            prompt = stack[-1]
            if prompt in known:
                stack.pop()
                continue
            if prompt.parent is None:
                known[prompt] = make(prompt, None, [])
                continue
            base, run, missing = _run(prompt, known, found)
            if missing:
                stack += missing
            else:
                known[prompt] = make(prompt, base, run)


def _run(
    prompt: Prompt, known: dict[Prompt, T], found: set[Prompt]
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
        if base in known or base in found:
            break
    if base not in known:
        missing.append(base)
    run.reverse()
    return base, run, missing
