"""What Ramify itself costs: import, trace and plan, executor, many rows; no model, no torch.

Everything runs on FakeBackend, whose own work counts as ours. Each ratio is budget over measured:

    import           import ramify in a fresh process                  0.5 s
    plan_row         trace, plan and order a 20-node program, per row  1 ms
    node             run a 20-node program, per node                   0.3 ms
    rows_10k_time    10,000 rows of a 5-node program                   60 s
    rows_10k_memory  growth of the resident memory meanwhile           200 MB
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import ramify as rf
from benchmarks.harness import Contender, Options, Report, Timing, interleave
from ramify.planner import Context, order_rows, work_keys
from ramify.planner import Options as PlanOptions
from ramify.planner import plan as make_plan

ROOT = Path(__file__).parents[1]
PLAN_ROWS, WINDOW = 1_000, 256  # rows, and how many run_batch traces and orders at a time
MANY_ROWS = 10_000

IMPORT = """
import sys, time
started = time.perf_counter()
import ramify
took = time.perf_counter() - started
heavy = {"torch", "transformers", "faiss"} & set(sys.modules)
print(took if not heavy else f"import ramify imports {heavy}")
"""


@rf.program
def twenty(s: rf.State, topic: str) -> Any:
    """A draft, six branches of two steps, their join, six turns and a choice: 20 nodes."""
    s += rf.system("You write short, plain reports. Use the notes and nothing else.")
    s += rf.user(f"Topic: {topic}. Sketch the report.")
    s += rf.assistant(rf.gen("draft", max_tokens=8))
    branches = s.fork(6)
    for number, branch in enumerate(branches):
        branch += rf.user(f"Write point {number} of {topic}.")
        branch += rf.assistant(rf.gen("point", max_tokens=8))
        branch += rf.user(f"Shorten it: {branch['point']}")
        branch += rf.assistant(rf.gen("short", max_tokens=4))
    s.join(branches)
    for turn in range(6):
        s += rf.user(f"Remark {turn} on {s['draft']}")
        s += rf.assistant(rf.gen(f"remark{turn}", max_tokens=4))
    s += rf.user("Is the report complete?")
    s += rf.assistant(rf.select("complete", ["yes", "no"]))
    return {"draft": s["draft"], "complete": s["complete"], "last": s["remark5"]}


@rf.program
def five(s: rf.State, text: str) -> Any:
    """A summary, two branches, a choice over both, a title: the shape of a batch job's row."""
    s += rf.system("You sort letters to the editor. Answer in one line.")
    s += rf.user(text)
    s += rf.assistant(rf.gen("summary", max_tokens=12))
    pro, contra = s.fork(2)
    pro += rf.user("One reason to print it.") + rf.assistant(rf.gen("reason", max_tokens=8))
    contra += rf.user("One reason not to.") + rf.assistant(rf.gen("reason", max_tokens=8))
    s += rf.user(f"For: {pro['reason']} Against: {contra['reason']} Print it?")
    s += rf.assistant(rf.select("printed", ["yes", "no"]))
    s += rf.user("A title.")
    s += rf.assistant(rf.gen("title", max_tokens=6))
    return {"printed": s["printed"], "title": s["title"]}


def topics(count: int) -> Iterator[Mapping[str, str]]:
    return ({"topic": f"harbour trade of town {i}"} for i in range(count))


def letters(count: int) -> Iterator[Mapping[str, str]]:
    return ({"text": f"Letter {i}: the bridge at mile {i % 97} should be mended."} for i in range(count))
