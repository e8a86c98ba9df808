"""A sequence in flight: its tokens, and the slot of each.

Positions below `shared` belong to the tree (the prompt without its last token); what follows is
the sequence's own *tail*: the last prompt token and what was generated. So every decode step has
a token to feed, siblings with equal prompts share all but one, and a fork copies no KV.

A sequence whose prompt has parallel blocks reads paths besides its own: its *supports*, which are
admitted, computed and freed together with it (see `blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ramify.backend.contract import BlockSpan, Promise
from ramify.backend.radix.blocks import Path, Run, before, lay_out
from ramify.backend.radix.node import Node
from ramify.backend.radix.slots import IntArray
from ramify.backend.radix.vectors import FloatArray


class Job(Protocol):
    """Who asked for a sequence and what for: see `jobs`."""

    priority: float
    salt: str
    vectors: dict[int, FloatArray]  # what the negative numbers among the tokens stand for


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
    drafted: int = 0  # tokens in the buffer behind `length` that are guesses for this step
    promise: Promise | None = None  # what a plan knows of its future; a support has none
    root: str = ""  # name of the root that its path in the tree hangs from
    base: int = 0  # positions below belong to supports
    runs: tuple[Run, ...] = ()  # which ones: positions of `supports[run.path]`
    supports: tuple[Sequence, ...] = ()
    shift: IntArray | None = None  # per position below `limit`, see `Span`; None without supports

    @classmethod
    def of(
        cls,
        job: Job,
        tokens: IntArray,
        *,
        limit: int,
        prompt: int,
        wanted: int,
        blocks: Many[BlockSpan] = (),
    ) -> Sequence:
        """A sequence that begins with `tokens` and may grow to `limit`.

        Raises BackendError for blocks that are not nested.
        """
        spans = before(blocks, wanted, length=prompt) if blocks else ()
        *others, own = lay_out(tokens, spans, job.salt)
        supports: list[Sequence] = []
        for path in others:
            size = len(path.tokens)
            supports.append(cls._along(job, path, supports, limit=size, prompt=size, wanted=size))
        return cls._along(job, own, supports, limit=limit, prompt=prompt, wanted=wanted)

    @classmethod
    def _along(
        cls,
        job: Job,
        path: Path,
        supports: Many[Sequence],
        *,
        limit: int,
        prompt: int,
        wanted: int,
    ) -> Sequence:
        """The sequence of a path; `supports` has those before it."""
        tokens = path.tokens
        buffer = np.empty(max(limit, len(tokens)), np.int64)
        buffer[: len(tokens)] = tokens
        made = cls(job, buffer, len(tokens), prompt, wanted, root=path.root, base=path.base)
        if path.runs:
            made.runs, made.supports = path.runs, tuple(supports)
            made.shift = np.zeros(len(buffer), np.int64)
            for run in path.runs:
                made.shift[run.at : run.at + run.stop - run.start] = run.at - run.start
        return made

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
    def keys(self) -> IntArray:
        """The tokens of its path in the tree."""
        return self.tokens[self.base : self.sharable]

    @property
    def paths(self) -> tuple[Sequence, ...]:
        """Its supports and itself: each reads only what is before it."""
        return (*self.supports, self)

    @property
    def ready(self) -> bool:
        """Whether the KV of its part in the tree is there, and all that it reads."""
        for path in self.supports:
            if path.leaf is None or not path.leaf.ready:
                return False
        return self.leaf is not None and self.leaf.ready

    @property
    def computed_in_all(self) -> int:
        """Tokens of its prompt that it or its supports computed at first."""
        return sum(path.computed for path in self.paths)

    def append(self, token: int) -> None:
        """Add a generated token, whose logits are wanted next."""
        self.tokens[self.length] = token
        self.wanted = self.length
        self.length += 1

    def fork(self, job: Job) -> Sequence:
        """A sequence with the same tokens, waiting for admission; it will share the KV."""
        made: list[Sequence] = []
        for old in self.paths:
            path = Path(old.root, old.base, old.known, old.runs)
            made.append(
                Sequence._along(
                    job, path, made, limit=old.limit, prompt=old.prompt, wanted=old.wanted
                )
            )
        child = made[-1]
        child.order, child.arrived = self.order, self.arrived
        return child

    def check(self) -> None:
        """Raise AssertionError where the counters are out of order."""
        assert 0 < self.prompt <= self.length <= self.limit and self.base <= self.sharable
        assert sum(run.stop - run.start for run in self.runs) == self.base
        if self.leaf is None:
            assert self.shared == self.held == self.done == 0
        else:
            assert self.leaf.stop == self.shared <= self.done <= self.held <= self.limit
            assert self.done <= self.length
