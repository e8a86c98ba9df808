"""Evicting by what the plan reads again: programs with branches and a join in a pool too small.

Programs run at once, 32 of them, each with a prefix of its own of about 512 tokens: a first answer,
eight branches behind it, a join that reads all of it again; by the language, the planner and the
real engine with a tiny random model. What runs when depends on the clock, so each number is the
median of some rounds. The orders of eviction are least recent use, the default order
without the plan's promises, and with them; the answers are the same. What counts is the share of
prompt tokens that were found, and how many were computed; no seconds. Ratios:

    computed_lru_N   prompt tokens computed under least recent use, over those with promises, in a
                     pool of N % of what all programs hold at their ends
    computed_past_N  the same for the default order without promises
    same             1 where all answers are the same under every order
"""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import ramify as rf
from benchmarks.harness import Options, Report
from benchmarks.harness.models import LlamaShape, random_llama
from ramify.backend.radix.eviction import HeapOrder, Order, least_recently_used
from ramify.backend.radix.worth import WorthOrder

PROGRAMS, BRANCHES, PREFIX, NEW = 32, 8, 512, 8
SIZES = (12, 25, 50)  # percent of what all programs hold at their ends
TINY = LlamaShape(
    layers=2, hidden=64, heads=4, kv_heads=2, intermediate=128, vocab=512, context=2048,
    dtype="float32",
)  # fmt: skip


@rf.program
def branching(s: Any, text: str) -> Any:
    """A first answer, branches behind it, a join that reads the prefix again."""
    s += rf.user(text)
    s += rf.assistant(rf.gen("first", max_tokens=NEW, ignore_end=True))
    branches = s.fork(BRANCHES)
    for i, branch in enumerate(branches):
        branch += rf.user(f"p{i}")
        branch += rf.assistant(rf.gen(f"part{i}", max_tokens=NEW, ignore_end=True))
    s.join(branches)
    s += rf.assistant(rf.gen("end", max_tokens=NEW, ignore_end=True))
    return rf.lines(s["first"], s["end"])


def texts(count: int) -> list[str]:
    """Texts of about `PREFIX` tokens that share nothing."""
    rnd = random.Random(7)
    return ["".join(rnd.choices(ascii_lowercase, k=PREFIX * 5 // 4)) for _ in range(count)]


def orders(slots: int) -> dict[str, Order | None]:
    """None is the default: the order of the past with promises on top."""
    return {
        "lru": HeapOrder(least_recently_used),
        "past": WorthOrder(slots),
        "promises": None,
    }


def opened(folder: Path, slots: int, order: Order | None) -> Any:
    """A backend whose cache evicts by this order."""
    from ramify.backend.hf_tokenizer import HFTokenizer
    from ramify.backend.radix import RadixBackend
    from ramify.backend.radix.cache import Cache
    from ramify.backend.radix.options import RadixOptions
    from ramify.backend.radix.setup import assemble

    options = RadixOptions(pool_tokens=slots, draft="off", dtype="float32")
    parts = assemble(folder, options)
    scheduler = parts.engine.scheduler
    scheduler.cache = Cache(slots, order=order)
    return RadixBackend(parts, options, HFTokenizer.load(parts.folder))


def measure(folder: Path, slots: int, rows: list[str]) -> list[tuple[dict[str, Any], list[str]]]:
    """The account and the answers under each order."""
    from ramify.runtime import run_sync

    found = []
    for name, order in orders(slots).items():
        backend = opened(folder, slots, order)
        results = branching.run_batch([{"text": text} for text in rows], backend=backend)
        answers = [result.text for result in results]
        asked = sum(result.usage.prompt_tokens for result in results)
        cached = sum(result.usage.cached_tokens for result in results)
        now = run_sync(backend.snapshot())
        run_sync(backend.close())
        account = {
            "order": name, "slots": slots, "prompt_tokens": asked, "computed": asked - cached,
            "hit_rate": cached / asked, "evicted": now.evicted, "preempted": now.preempted,
        }  # fmt: skip
        found.append((account, answers))
    return found


def run(options: Options) -> Report:
    """Every size of the pool; the short form takes fewer programs and one size."""
    programs = 8 if options.quick else PROGRAMS
    rows = texts(programs)
    folder = random_llama(TINY)
    whole = programs * (PREFIX + NEW + BRANCHES * (4 * NEW))
    # at its end a program holds its prefix, and of each branch and the join what is its own
    table: list[Mapping[str, Any]] = []
    ratios: dict[str, float] = {}
    same = True
    for size in SIZES[1:2] if options.quick else SIZES:
        rounds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _ in range(1 if options.quick else options.repeats or 5):
            found = measure(folder, whole * size // 100, rows)
            same = same and all(answers == found[0][1] for _, answers in found)
            for account, _ in found:
                rounds[account["order"]].append(account)
        middle = {name: median(accounts) for name, accounts in rounds.items()}
        best = min(account["computed"] for account in middle.values())
        for account in middle.values():
            table.append({"pool_%": size, **account, "limit_%": 100 * best / account["computed"]})
        for name in ("lru", "past"):
            worse = middle[name]["computed"] / middle["promises"]["computed"]
            ratios[f"computed_{name}_{size}"] = worse
    return Report("plan_eviction", table, {**ratios, "same": float(same)})


def median(accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The middle one of some rounds by what was computed, and the most and the least of all."""
    computed = [account["computed"] for account in accounts]
    found = next(a for a in accounts if a["computed"] == statistics.median_low(computed))
    return {**found, "computed_least": min(computed), "computed_most": max(computed)}
