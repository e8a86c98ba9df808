"""The rows of a step: what goes into the model, and who wants to know what of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ramify.backend.radix.answer import Answer
from ramify.backend.radix.layout import Span
from ramify.backend.radix.model import Step
from ramify.backend.radix.sampler import Row
from ramify.backend.radix.scheduler import Chunk
from ramify.backend.radix.vectors import Inserted


@dataclass(slots=True)
class Wanted:
    """Rows `first..last-1` of a step's logits belong to positions from `start` of a chunk."""

    chunk: Chunk
    start: int
    first: int
    last: int


@dataclass(slots=True)
class Asked:
    """What the answers of a step want to know: rows of its logits, and by which rules."""

    answers: list[tuple[Answer, int]]  # and how many rows each has
    at: list[int]
    rows: list[Row]


def inputs_of(chunks: list[Chunk]) -> tuple[Step, list[Wanted]]:
    """The rows of a step, and which of them give logits."""
    tokens, positions, slots, rows, spans, wanted = [], [], [], [], [], []
    inserted = Inserted()
    offset = logits = 0
    for chunk in chunks:
        sequence, start, stop = chunk.sequence, chunk.start, chunk.stop
        tokens.append(sequence.tokens[start:stop])
        slots.append(sequence.slots[start:stop])
        positions.append(np.arange(start, stop))
        spans.append(Span(sequence.slots, start, stop, sequence.shift))
        if sequence.job.vectors:
            inserted.add(tokens[-1], sequence.job.vectors, offset)
        first = max(start, sequence.wanted)
        if first < stop:
            count = stop - first
            rows.append(np.arange(offset + first - start, offset + stop - start))
            wanted.append(Wanted(chunk, first, logits, logits + count))
            logits += count
        offset += stop - start
    none = np.empty(0, np.int64)
    step = Step(
        np.concatenate(tokens), np.concatenate(positions), np.concatenate(slots),
        np.concatenate(rows) if rows else none, spans, inserted.arrays,
    )  # fmt: skip
    return step, wanted
