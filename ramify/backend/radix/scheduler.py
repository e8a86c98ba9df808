"""Which tokens the next step computes: continuous batching over the radix tree.

Every step mixes decode rows and prefill chunks under one token budget. Siblings share while they
are in flight: who comes first computes a common node (the leader), and a follower goes on behind
it *in the same step* if the leader reaches the node's end, because every layer writes all KV of
a step before it attends. If a leader is cancelled, the next follower goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ramify.backend.radix.cache import TAIL_RUN, Cache
from ramify.backend.radix.node import Node
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.waiting import WaitingQueue

LOGITS = 256  # rows of prompts in one step that give logits: each is as wide as the vocabulary


_LOOK = 8  # sequences of equal priority among which a longer known prefix goes first


@dataclass(slots=True)
class Chunk:
    """Positions `start..stop-1` of a sequence, computed in this step."""

    sequence: Sequence
    start: int
    stop: int
    fills: list[tuple[Node, int]] = field(default_factory=list)  # node, its `computed` afterwards


class Scheduler:
    """Admission, chunks, preemption. `max_batch` sequences at most, `budget` rows a step."""

    def __init__(
        self, cache: Cache, *, max_batch: int = 64, budget: int = 512, patience: int = 256
    ) -> None:
        self.cache = cache
        self.waiting = WaitingQueue(patience)
        self.running: list[Sequence] = []
        self.step = 0
        self.preempted = 0
        self.max_batch = max_batch
        self.budget = max(budget, max_batch)
        self._logits = LOGITS
        self._arrivals = 0

    def submit(self, sequence: Sequence) -> None:
        """Put a new sequence into the queue."""
        sequence.order, sequence.arrived = self._arrivals, self.step
        self._arrivals += 1
        self.waiting.push(sequence)

    def remove(self, sequence: Sequence, *, keep: bool = True, floor: int = 0) -> None:
        """Take a sequence out, wherever it is, and free what it holds; see `Cache.retire`."""
        if sequence.leaf is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self.cache.retire(sequence, keep=keep, floor=floor)

    def plan(self) -> list[Chunk]:
        """What to compute now; empty if there is nothing to do."""
        self.step += 1
        self._logits = LOGITS
        self._admit()
        self.running.sort(key=lambda s: self.waiting.rank(s, self.step))
        chunks, prefills = self._decodes()
        budget = self.budget - sum(chunk.stop - chunk.start for chunk in chunks)
        scheduled: dict[int, int] = {}
        for sequence in prefills:
            if budget <= 0:
                break
            for chunk in self._prefills(sequence, budget, scheduled):
                budget -= chunk.stop - chunk.start
                chunks.append(chunk)
        return chunks

    def complete(self, chunks: list[Chunk]) -> None:
        """The KV of these chunks is there."""
        for chunk in chunks:
            sequence = chunk.sequence
            for node, computed in chunk.fills:
                node.computed = computed
            sequence.done = max(sequence.done, min(chunk.stop, sequence.length))
            if not sequence.preempted:
                rows = min(chunk.stop, sequence.prompt) - min(chunk.start, sequence.prompt)
                sequence.computed += rows

    def _admit(self) -> None:
        while len(self.running) < self.max_batch:
            sequence = self._next()
            if sequence is None:
                return
            # Room for those who are here to go on for a while: who comes in must not push out.
            reserve = sum(min(TAIL_RUN, s.limit - s.held) for s in self.running)
            if not self.cache.admit(sequence, reserve=reserve):
                return  # nobody overtakes: memory drains until the best one fits
            self.waiting.remove(sequence)
            self.running.append(sequence)

    def _next(self) -> Sequence | None:
        """Who is admitted next. Where something must be evicted for it, the one of equal priority
        of which most is in the tree goes before, so that this is used and not evicted."""
        best = self.waiting.best(self.step)
        if best is None or self.cache.demand(best) <= self.cache.slots.free:
            return best
        equals = self.waiting.equals(best, self.step, _LOOK)
        return max(equals, key=lambda s: (self.cache.known(s), -s.order), default=best)

    def _decodes(self) -> tuple[list[Chunk], list[Sequence]]:
        """A row for each sequence whose prompt is computed, with those of its draft behind it, and
        the sequences that are not."""
        chunks, prefills = [], []
        for sequence in list(self.running):
            if sequence.leaf is None:
                continue  # preempted by a better one in this loop
            if not sequence.ready or sequence.length - sequence.done != 1:
                prefills.append(sequence)
            elif self._make_room(sequence):
                chunks.append(Chunk(sequence, sequence.done, sequence.length))
        for chunk in chunks:
            sequence = chunk.sequence
            if sequence.drafted and not self.cache.grow(sequence, sequence.drafted):
                sequence.drafted = 0  # nobody makes room for a guess
            chunk.stop += sequence.drafted
        return chunks, [s for s in prefills if s.leaf is not None]

    def _make_room(self, sequence: Sequence) -> bool:
        """Slots for the known tokens, if need be at the cost of the last in rank."""
        while not self.cache.grow(sequence):
            victim = self.running[-1]
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the queue; its KV stays in the tree until it is evicted, then is recomputed."""
        self.running.remove(sequence)
        self.cache.retire(sequence)
        sequence.drafted = 0
        for path in sequence.paths:
            path.preempted += 1
        self.preempted += 1
        self.waiting.push(sequence)

    def _prefills(self, sequence: Sequence, budget: int, scheduled: dict[int, int]) -> list[Chunk]:
        """The next chunks of a prompt: of its supports, and its own where these get to their end
        in this step; a support that reads others waits for them likewise."""
        if sequence.ready or not sequence.supports:
            chunk = self._prefill(sequence, budget, scheduled)
            return [] if chunk is None else [chunk]
        chunks = []
        late: set[int] = set()
        for index, path in enumerate(sequence.paths):
            if not late.isdisjoint(run.path for run in path.runs):
                late.add(index)
                continue
            chunk = self._prefill(path, budget, scheduled)
            if chunk is not None:
                budget -= chunk.stop - chunk.start
                chunks.append(chunk)
            assert path.leaf is not None
            pending = self.cache.tree.pending(path.leaf)
            if any(scheduled.get(id(node)) != node.stop for node in pending):
                late.add(index)
        return chunks

    def _prefill(self, sequence: Sequence, budget: int, scheduled: dict[int, int]) -> Chunk | None:
        """The next chunk of a prompt; `scheduled` says how far each node gets in this step."""
        assert sequence.leaf is not None
        chunk = Chunk(sequence, -1, -1)
        for node in self.cache.tree.pending(sequence.leaf):
            begin = scheduled.get(id(node), node.start + node.computed)
            if begin == node.stop:
                continue  # another sequence computes it in this step: go on behind it
            if id(node) in scheduled or budget == 0:
                return chunk if chunk.fills else None
            stop = min(node.stop, begin + budget)
            budget -= stop - begin
            scheduled[id(node)] = stop
            chunk.start = chunk.start if chunk.fills else begin
            chunk.stop = stop
            chunk.fills.append((node, stop - node.start))
            if stop < node.stop:
                return chunk
        first = max(sequence.done, sequence.wanted)  # of the rows whose logits are wanted
        stop = min(sequence.length, sequence.done + budget, first + self._logits)
        self._logits -= max(0, stop - first)
        if stop > sequence.done:
            chunk.start = chunk.start if chunk.fills else sequence.done
            chunk.stop = stop
        return chunk if chunk.stop > chunk.start else None

    def check(self) -> None:
        """Raise AssertionError where sequences and cache disagree."""
        waiting = list(self.waiting)
        assert all(s.leaf is None for s in waiting)
        assert all(s.leaf is not None for s in self.running)
        assert len(self.running) <= self.max_batch
        self.cache.check(self.running)
