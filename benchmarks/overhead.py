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
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import ramify as rf
from benchmarks.harness import Contender, Options, Report, interleave
from benchmarks.harness.machine import peak_memory
from ramify.planner import Context, order_rows, work_keys
from ramify.planner import Options as PlanOptions
from ramify.planner import plan as make_plan
from ramify.runtime.collector import fewer_collections

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
    for branch, wish in ((pro, "One reason to print it."), (contra, "One reason not to.")):
        branch += rf.user(wish)
        branch += rf.assistant(rf.gen("reason", max_tokens=8))
    s += rf.user(f"For: {pro['reason']} Against: {contra['reason']} Print it?")
    s += rf.assistant(rf.select("printed", ["yes", "no"]))
    s += rf.user("A title.")
    s += rf.assistant(rf.gen("title", max_tokens=6))
    return {"printed": s["printed"], "title": s["title"]}


def topics(count: int) -> Iterator[Mapping[str, str]]:
    """Rows of `twenty`."""
    return ({"topic": f"harbour trade of town {i}"} for i in range(count))


def letters(count: int) -> Iterator[Mapping[str, str]]:
    """Rows of `five`."""
    return ({"text": f"Letter {i}: mend the bridge at mile {i % 97}."} for i in range(count))


def import_seconds() -> float:
    """`import ramify` in a fresh process. Raises RuntimeError where it imports torch."""
    command = [sys.executable, "-c", IMPORT]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    try:
        return float(found)
    except ValueError:
        raise RuntimeError(found) from None


def plan_rows(count: int) -> None:
    """What a batch does before anything runs, as run_batch does it: window by window."""
    backend = rf.FakeBackend()
    context = Context(profiles={"": backend.profile()})
    rows = topics(count)
    with fewer_collections():
        while window := list(islice(rows, WINDOW)):
            graphs = []
            for row in window:
                task = twenty.task((), row)
                task.graph.outputs = (task.body(None), *task.kept())
                graphs.append(task.graph)
            order_rows(graphs, context)
            for graph in graphs:
                made = make_plan(graph, Context(profiles=context.profiles), PlanOptions())
                work_keys(made.graph, made.context)


def run_rows(count: int) -> None:
    """Single runs, one after another, as a caller of `run` sees them."""
    backend = rf.FakeBackend()
    for row in topics(count):
        twenty.run(row["topic"], backend=backend)


def many_rows(count: int) -> dict[str, float]:
    """Seconds and growth of the resident memory of one large batch; for a fresh process."""
    import psutil

    backend = rf.FakeBackend()
    five.run_batch(letters(100), backend=backend)  # what is made once is not growth
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    results = five.run_batch(letters(count), backend=backend)
    seconds = time.perf_counter() - started
    assert len(results) == count and not results.failed
    return {"seconds": seconds, "grown_mb": (peak_memory() - before) / 1e6}


def many_rows_apart(count: int) -> dict[str, float]:
    """`many_rows` in a process of its own, whose memory is nobody else's."""
    code = "import json, benchmarks.overhead as o; print(json.dumps(o.many_rows({})))"
    command = [sys.executable, "-c", code.format(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def line(what: str, unit: str, budget: float, values: list[float]) -> Mapping[str, Any]:
    """One budget and what was measured; the median counts."""
    measured = median(values)
    return {
        "what": what,
        "unit": unit,
        "budget": budget,
        "median": measured,
        "best": min(values),
        "worst": max(values),
        "limit_%": 100 * measured / budget,
    }


def run(options: Options, many: int = MANY_ROWS) -> Report:
    """Measure; fewer than 10,000 rows are for trying the benchmark itself."""
    assert len(twenty.compile(topic="x").graph.nodes) == 20
    assert len(five.compile(text="x").graph.nodes) == 5
    repeats = options.repeats or (5 if options.quick else 9)
    single = 20 if options.quick else 100
    timings = interleave(
        [
            Contender("plan", lambda: plan_rows(PLAN_ROWS)),
            Contender("node", lambda: run_rows(single)),
        ],
        repeats,
    )
    import_seconds()  # writes the compiled files
    large = [many_rows_apart(many) for _ in range(1 if options.quick else 3)]
    plan_ms = [seconds / PLAN_ROWS * 1e3 for seconds in timings["plan"].seconds]
    node_ms = [seconds / (single * 20) * 1e3 for seconds in timings["node"].seconds]
    rows = {
        "import": line("import ramify", "s", 0.5, [import_seconds() for _ in range(7)]),
        "plan_row": line("trace and plan 20 nodes", "ms a row", 1.0, plan_ms),
        "node": line("run 20 nodes", "ms a node", 0.3, node_ms),
        "rows_10k_time": line(f"{many} rows", "s", 60.0, [each["seconds"] for each in large]),
        "rows_10k_memory": line(f"{many} rows", "MB", 200.0, [each["grown_mb"] for each in large]),
    }
    ratios = {name: found["budget"] / found["median"] for name, found in rows.items()}
    return Report("overhead", list(rows.values()), ratios)
