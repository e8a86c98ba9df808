"""Which KV to evict: hit rate over pool size on a recorded conversation trace; no model.

The first 2,000 requests of the Mooncake conversation trace, lengths divided by 16, go through the
real radix tree, one after another. Each prompt is looked up, computed and left in the tree. The
bound evicts what is used again last, by perfect knowledge (Belady). Ratios:

    never_below_lru  the smallest hit rate of ours over that of least recent use, over all sizes
    gap_closed_5     share of the gap between least recent use and the bound that ours closes
    gap_closed_10    at 5 and 10 % of the distinct blocks, over a third
    tree_us          budget of 1,000 microseconds a request over what tree and order take
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Options, Report
from benchmarks.harness.curves import curves
from benchmarks.harness.traces import Prompts, mooncake
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.eviction import (
    CostOrder,
    HeapOrder,
    Order,
    least_frequently_used,
    least_recently_used,
)
from ramify.backend.radix.node import Node
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.worth import WorthOrder

SIZES = (5, 10, 25, 50, 100)  # percent of the distinct blocks
REQUESTS = 2_000
BUDGET_US = 1_000.0
PICTURE = Path(__file__).parent / "results" / "cache_policies.svg"


@dataclass
class Ask:
    """What a sequence must know of its request."""

    priority: float = 0.0
    salt: str = ""


class Future:
    """Perfect knowledge: when each block of the trace is used again."""

    def __init__(self, prompts: Prompts) -> None:
        self.now = 0
        self._block = prompts.block
        self._uses: dict[int, list[int]] = defaultdict(list)
        for i in range(len(prompts.tokens)):
            for block in prompts.blocks_of(i):
                self._uses[block].append(i)

    def value(self, node: Node) -> float:
        """What is used again last has the smallest value; the end of a node counts."""
        uses = self._uses[int(node.tokens[-1]) // self._block]
        at = bisect_right(uses, self.now)
        return -uses[at] if at < len(uses) else -float("inf")


def contenders(prompts: Prompts, slots: int) -> dict[str, Callable[[], tuple[Order, Any]]]:
    """Orders of eviction by name; with each what must be told the number of the request."""

    def bound() -> tuple[Order, Any]:
        future = Future(prompts)
        return HeapOrder(future.value, grain=prompts.block), future

    return {
        "lru": lambda: (HeapOrder(least_recently_used), None),
        "lfu": lambda: (HeapOrder(least_frequently_used), None),
        "cost": lambda: (CostOrder(), None),
        "ours": lambda: (WorthOrder(slots), None),
        "bound": bound,
    }


def replay(
    prompts: Prompts, slots: int, order: Order, future: Future | None
) -> tuple[Cache, float]:
    """Send all prompts through a cache; returns it and the seconds that this took."""
    cache = Cache(slots, order=order)
    started = time.perf_counter()
    for i, tokens in enumerate(prompts.tokens):
        if future is not None:
            future.now = i
        size = len(tokens)
        sequence = Sequence.of(Ask(), tokens, limit=size, prompt=size, wanted=size)
        if not cache.admit(sequence):
            raise RuntimeError(f"{size} tokens do not fit a pool of {slots} that nobody uses")
        assert sequence.leaf is not None
        for node in cache.tree.pending(sequence.leaf):
            node.computed = len(node.tokens)
        cache.retire(sequence)
    return cache, time.perf_counter() - started


def run(options: Options, requests: int = REQUESTS, picture: Path = PICTURE) -> Report:
    """Measure; the short form takes two sizes, fewer requests, and draws nothing."""
    sizes = SIZES[:2] if options.quick else SIZES
    prompts = mooncake(options.data, 500 if options.quick else requests)
    rows: list[dict[str, Any]] = []
    seconds: list[float] = []
    for size in sizes:
        slots = prompts.distinct * prompts.block * size // 100
        row: dict[str, Any] = {"pool_%": size, "slots": slots}
        for name, make in contenders(prompts, slots).items():
            cache, took = replay(prompts, slots, *make())
            row[name] = cache.hits / cache.asked
            if name == "ours":
                row["ours_us"] = took / len(prompts.tokens) * 1e6
                seconds.append(took)
        gap = row["bound"] - row["lru"]
        row["gap_closed_%"] = 100 * (row["ours"] - row["lru"]) / gap if gap > 0 else 100.0
        row["limit_%"] = 100 * row["ours"] / row["bound"]
        rows.append(row)
    closed = {row["pool_%"]: row["gap_closed_%"] / 100 for row in rows}
    slowest = max(seconds) / len(prompts.tokens) * 1e6
    ratios = {
        "never_below_lru": min(row["ours"] / row["lru"] for row in rows),
        "gap_closed_5": 3 * closed[5],
        "gap_closed_10": 3 * closed[10],
        "tree_us": BUDGET_US / slowest,
    }
    if not options.quick:
        lines = {name: [row[name] for row in rows] for name in contenders(prompts, 1)}
        drawn = curves(
            "Prefix cache hit rate, Mooncake conversation trace, 2,000 requests",
            "pool size, % of the distinct blocks", "hit rate", sizes, lines,
        )  # fmt: skip
        picture.write_text(drawn, encoding="utf-8")
    return Report("cache_policies", rows, ratios)
