"""Every pattern, side by side as the runtime does it and in order as one would by hand.

The demo model on the demo world: what it answers is of no matter here, what is asked is the same on
both sides, and both keep prefixes in the cache. The naive twin of the runtime runs one node after
another in the order of the program. Plans and skeletons are given, so that every run asks the same.
An answer that forks is one call; what stands beside it is the same description in one go. The model
is tiny: OMP_NUM_THREADS=1 is faster here, and steadier, than threads that wait for each other.

Ratios: seconds in order over seconds side by side, by pattern, medians of interleaved runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import ramify as rf
from benchmarks.harness import Contender, Options, Report, interleave
from benchmarks.harness.machine import threads
from ramify.demo.organize import (
    GRAPH_WORDS,
    describe_at_once,
    describe_by_forks,
    describe_by_skeleton,
)
from ramify.demo.world import load_towns, model_path
from ramify.dsl.patterns.graph_plan import GraphPlan, Part
from ramify.dsl.patterns.skeleton_graph import GraphOptions, graph_answer
from ramify.dsl.patterns.sub_calls import sub_call
from ramify.ir import Sampling
from ramify.runtime import Result
from ramify.runtime.execute import finish
from ramify.runtime.in_order import in_order
from ramify.runtime.loop import run_sync

PLAN = GraphPlan((
    Part(1, "Which is the town?", (), 1, 24), Part(2, "What is its river?", (1,), 1, 24),
    Part(3, "Who is its mayor?", (1,), 1, 24), Part(4, "What is its school?", (1,), 1, 24),
    Part(5, "What is it like?", (2, 3, 4), 3, 32),
))  # fmt: skip


TASKS = ("What is its river?", "Who is its mayor?", "What is its school?", "What is it like?")


@rf.program
def graph(s: rf.State, question: str) -> Any:
    """A graph whose plan is given."""
    s += rf.user(question)
    options = GraphOptions(
        sampling=Sampling(max_tokens=32), plan_tokens=1, constrained=False, words=GRAPH_WORDS,
        read=lambda text: PLAN,
    )  # fmt: skip
    return graph_answer(s, options)


@rf.program
def handed_out(s: rf.State, question: str) -> Any:
    """A round of sub-calls whose tasks are given: each sees its own and nothing else."""
    s += rf.user(question)
    results = [sub_call(task, max_tokens=32) for task in TASKS]
    s += rf.user("Results:\n", rf.lines(*results))
    s += rf.assistant(rf.gen("answer", max_tokens=32))
    return s["answer"]


@rf.program
def stepwise(s: rf.State, question: str) -> Any:
    """Two rounds of steps that are given: those of a round side by side, then joined."""

    def execute(branch: rf.State, step: str) -> None:
        branch += rf.user(step)
        branch += rf.assistant(rf.gen("done", max_tokens=32))

    s += rf.user(question)
    for steps in (TASKS[:2], TASKS[2:]):
        s.join(s.each(steps, execute))
    s += rf.assistant(rf.gen("answer", max_tokens=32))
    return s["answer"]


def runs() -> dict[str, tuple[rf.Program, tuple[Any, ...], dict[str, Any]]]:
    """Program and arguments of each pattern."""
    from benchmarks.organize_quality import given, points_of

    towns = load_towns()
    town, patterns = towns[0], rf.patterns
    asked = f"[1] {town.text}\n\nWho is the mayor of {town.title}?"
    texts = [one.text for one in towns[:6]]
    drawn = {"temperature": 0.7, "max_tokens": 32, "seed": 0}
    passage = f"[1] {town.text}"
    skeleton = (passage, town.title, given(points_of(town)))
    return {
        "skeleton_of_thought": (describe_by_skeleton, skeleton, {}),
        "skeleton_graph": (graph, (asked,), {}),
        "self_consistency": (patterns.self_consistency, (asked,), {"paths": 8, **drawn}),
        "best_of_n": (patterns.best_of_n, (asked,), {"n": 8, **drawn}),
        "first_k": (patterns.first_k, (asked,), {"asked": 8, "k": 4, **drawn, "answer_tokens": 32}),
        "debate": (patterns.debate, (asked,), {"agents": 4, "rounds": 2, **drawn}),
        "tree_of_thought": (
            patterns.tree_of_thought, (asked,), {"fan_out": 4, "beam": 2, **drawn}
        ),
        "map_reduce": (
            patterns.map_reduce, (texts, "What do they export?"),
            {"map_tokens": 32, "reduce_tokens": 32},
        ),
        "sub_calls": (handed_out, (asked,), {}),
        "plan_execute": (stepwise, (asked,), {}),
        "fork_tokens": (describe_by_forks, (passage, town.title), {}),
    }  # fmt: skip


async def naive(program: rf.Program, args: Any, options: Any, backend: Any, salt: str) -> Result:
    """One node after another."""
    task = program.task(args, options)
    run = in_order(task, {"": backend}, rf.Policy(salt=salt))
    return await finish(run, task, keep_plan=True)


def run(options: Options) -> Report:
    """Both ways, each on a cold cache."""
    backend = rf.open_backend(f"radix:{model_path()}")
    salts = count()
    results: dict[str, Result] = {}

    def once(name: str, ordered: bool, program: rf.Program, args: Any, given: Any) -> None:
        salt = f"run {next(salts)}"
        if ordered:
            results[f"{name}, in order"] = run_sync(naive(program, args, given, backend, salt))
            return
        policy = rf.Policy(salt=salt)
        results[name] = program.run(*args, backend=backend, policy=policy, **given)

    contenders = []
    for name, (program, args, given) in runs().items():
        for ordered in (False, True):
            label = f"{name}, in order" if ordered else name
            work = partial(once, name, ordered, program, args, given)
            if ordered and name == "fork_tokens":
                work = partial(once, label, False, describe_at_once, args, given)
            contenders.append(Contender(label, work))
    timings = interleave(contenders, options.repeats or 5)
    rows: list[Mapping[str, Any]] = []
    ratios = {}
    for label, timing in timings.items():
        result = results[label]
        rows.append(
            {"pattern": label, "median_s": timing.median, "best_s": timing.best,
             "spread": timing.spread,
             "calls": sum(1 for a in result.accounts.values() if a.prompt_tokens),
             "prompt computed": result.usage.computed_tokens,
             "cached": result.usage.cached_tokens, "written": result.usage.output_tokens}
        )  # fmt: skip
        if not label.endswith(", in order"):
            ratios[label] = timings[f"{label}, in order"].median / timing.median
    return Report("organize_patterns", rows, ratios, {"threads": threads()})
