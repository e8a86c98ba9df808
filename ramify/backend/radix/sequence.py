"""A sequence in flight: its tokens, and the slot of each.

Positions below `shared` belong to the tree (the prompt without its last token); what follows is
the sequence's own *tail*: the last prompt token and what was generated. So every decode step has
a token to feed, siblings with equal prompts share all but one, and a fork copies no KV.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import IntArray


class Job(Protocol):
    """Who asked for a sequence and what for: see `jobs`."""

    priority: float
    salt: str


@dataclass(slots=True, eq=False)
class Sequence:
    """Token buffer, slot buffer and how far each has come. `limit` is the longest it may get."""

    job: Job
    tokens: IntArray  # buffer of `limit` tokens
    length: int  # tokens known
    prompt: int  # of them: tokens of the prompt
    wanted: int  # first position whose logits are wanted; `limit` where none are
    order: int = 0  # arrival; who fills: scheduler
    arrived: int = 0  # step of arrival; who fills: scheduler
    slots: IntArray = field(default_factory=lambda: np.empty(0, np.int64))  # buffer, as tokens
    leaf: Node | None = None  # end of the locked path; None while waiting
    shared: int = 0
    held: int = 0  # positions below have a slot
    done: int = 0  # positions below have KV, once the path is ready
    computed: int = 0  # positions below `prompt` that this sequence itself computed at first
    preempted: int = 0  # how often

    @classmethod
    def of(cls, job: Job, tokens: IntArray, *, limit: int, prompt: int, wanted: int) -> Sequence:
        """A sequence that begins with `tokens` and may grow to `limit`."""
        buffer = np.empty(max(limit, len(tokens)), np.int64)
        buffer[: len(tokens)] = tokens
        return cls(job, buffer, len(tokens), prompt, wanted)

    @property
    def limit(self) -> int:
        """The most tokens it can hold."""
        return len(self.tokens)

    @property
    def known(self) -> IntArray:
        """The tokens so far."""
        return self.tokens[: self.length]

    @property
    def sharable(self) -> int:
        """How many leading tokens go into the tree: all whose logits nobody wants."""
        return min(self.wanted, self.length)

    @property
    def ready(self) -> bool:
        """Whether the KV of its part in the tree is there."""
        return self.leaf is not None and self.leaf.ready

    def append(self, token: int) -> None:
        """Add a generated token, whose logits are wanted next."""
        self.tokens[self.length] = token
        self.wanted = self.length
        self.length += 1

    def fork(self, job: Job) -> Sequence:
        """A sequence with the same tokens, waiting for admission; it will share the KV."""
        child = Sequence.of(
            job, self.known, limit=self.limit, prompt=self.prompt, wanted=self.wanted
        )
        child.order, child.arrived = self.order, self.arrived
        return child

    def check(self) -> None:
        """Raise AssertionError where the counters are out of order."""
        assert 0 < self.prompt <= self.length <= self.limit
        if self.leaf is None:
            assert self.shared == self.held == self.done == 0
        else:
            assert self.leaf.stop == self.shared <= self.done <= self.held <= self.limit
            assert self.done <= self.length
