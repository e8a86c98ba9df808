"""Recorded traffic: the Mooncake conversation trace as token runs."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.data import data_folder

MOONCAKE = "mooncake_conversation.jsonl.gz"
BLOCK = 512  # tokens of one block hash in the trace


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts of a trace in order of arrival, all lengths divided by `shrink`."""

    tokens: list[NDArray[np.int64]]
    block: int  # tokens of a block after shrinking
    distinct: int  # different blocks

    def blocks_of(self, index: int) -> list[int]:
        """The block hashes of a prompt."""
        ids: list[int] = (self.tokens[index][:: self.block] // self.block).tolist()
        return ids


def mooncake(root: Path, count: int, shrink: int = 16) -> Prompts:
    """The first `count` requests. A block hash h becomes the tokens h*block .. h*block+block-1, so
    that prompts share exactly what they shared in the trace (Mooncake, arXiv:2407.00079).

    Raises MissingDataError where the trace is not in `root`.
    """
    block = BLOCK // shrink
    run = np.arange(block, dtype=np.int64)
    tokens, distinct = [], set()
    with gzip.open(data_folder(root, "traces") / MOONCAKE, "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(count), strict=False):
            request = json.loads(line)
            hashes = np.array(request["hash_ids"], np.int64)
            length = max(1, request["input_length"] // shrink)
            prompt = (hashes[:, None] * block + run).ravel()[:length]
            tokens.append(prompt)
            distinct.update((prompt[::block] // block).tolist())
    return Prompts(tokens, block, len(distinct))
