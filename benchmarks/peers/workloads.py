"""What the engines are measured on. Standard library only: peers run it in their own environment.

A workload is a program of one or more stages; each stage asks for greedy continuations of some
prompts, and later stages may build on what earlier ones answered.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Prompts = list[list[int]]
Generate = Callable[[Prompts, int], Prompts]  # prompts and new tokens of each: the new tokens
Draw = Callable[[int], list[int]]  # so many random ids


def common(first: list[int], second: list[int]) -> int:
    """How many tokens both begin with."""
    most = min(len(first), len(second))
    if first[:most] == second[:most]:
        return most
    low = 0  # all before it is equal
    while most - low > 1:
        middle = (low + most) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            most = middle
    return low


def beginning(prompts: Prompts) -> list[int]:
    """What all prompts begin with."""
    return prompts[0][: min(common(prompts[0], ids) for ids in prompts)]


@dataclass(frozen=True, slots=True)
class Workload:
    """`program(generate, draw)` runs it; the other numbers size what needs to be sized before."""

    name: str
    about: str
    program: Callable[[Generate, Draw], Prompts]
    sequences: int  # at the same time
    longest: int  # tokens of one sequence, with the new ones
    tokens: int  # new ones in all

    def run(self, generate: Generate, vocab: int) -> Prompts:
        """Run with the same random ids every time; returns the last stage's answers."""
        chance = random.Random(self.name)
        return self.program(generate, lambda n: [chance.randrange(3, vocab - 1) for _ in range(n)])


def shared(prefix: int, branches: int, new: int, suffix: int = 16) -> Workload:
    """Branches of one prefix, all asked for at once."""

    def program(generate: Generate, draw: Draw) -> Prompts:
        start = draw(prefix)
        return generate([start + draw(suffix) for _ in range(branches)], new)

    about = f"prefix of {prefix}, {branches} branches of {suffix} + {new}"
    name = f"shared_{prefix}x{branches}" + ("" if new > 1 else "_prefill")
    return Workload(name, about, program, branches, prefix + suffix + new, branches * new)


def _skeleton(generate: Generate, draw: Draw) -> Prompts:
    (skeleton,) = generate([prompt := draw(256)], 64)
    prompt = prompt + skeleton
    points = [draw(8) for _ in range(8)]
    answers = generate([prompt + point for point in points], 64)
    for point, answer in zip(points, answers, strict=True):
        prompt = prompt + point + answer
    return generate([prompt + draw(8)], 64)


def _tree(generate: Generate, draw: Draw) -> Prompts:
    level, answers = [draw(128)], [[]]
    for _ in range(3):
        parents = [[*prompt, *answer] for prompt, answer in zip(level, answers, strict=True)]
        level = [parent + draw(8) for parent in parents for _ in range(4)]
        answers = generate(level, 48)
    return answers


def _unrelated(generate: Generate, draw: Draw) -> Prompts:
    return generate([draw(128) for _ in range(16)], 64)


def _single(generate: Generate, draw: Draw) -> Prompts:
    return generate([draw(128)], 128)


def _prefill(generate: Generate, draw: Draw) -> Prompts:
    return generate([draw(2048)], 1)


TABLE = (
    shared(512, 16, 32),
    shared(2048, 16, 32),
    Workload(
        "skeleton", "prefix of 256, skeleton of 64, 8 branches of 8 + 64, joined, 64 more",
        _skeleton, 8, 256 + 64 + 8 * 72 + 8 + 64, 64 + 8 * 64 + 64,
    ),
    Workload(
        "tree", "root of 128, 3 levels of 4 children, each 8 + 48",
        _tree, 64, 128 + 3 * 56, (4 + 16 + 64) * 48,
    ),
    Workload("unrelated_16", "16 unrelated prompts of 128, 64 new", _unrelated, 16, 192, 16 * 64),
    Workload("single_stream", "one prompt of 128, 128 new", _single, 1, 256, 128),
    Workload("prefill_2048", "one prompt of 2,048, one new", _prefill, 1, 2049, 1),
)  # fmt: skip
PREFILL_ONLY = shared(2048, 16, 1)  # what `shared_2048x16` does before it decodes
BY_NAME = {workload.name: workload for workload in (*TABLE, PREFILL_ONLY)}
