"""Count right answers per task: `python -m examples.demo_world.evaluate [--cases 500]`.

Greedy decoding with plain transformers, unseen towns. A case counts as right when every value
asked for stands in the answer, whole and exact; "whole answer" asks for the full text, citation
included.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from examples.demo_world.answerer import Answerer
from examples.demo_world.cases import TASKS, Case, Task, make_cases
from examples.demo_world.ways import answer
from ramify.demo.world import facts_right

SHIPPED = Path(__file__).parents[2] / "ramify" / "demo" / "model"


@dataclass(frozen=True)
class Count:
    """A row of the table. `facts` counts single facts, `right` cases with all of them."""

    task: Task
    cases: int
    asked: int
    facts: int
    right: int
    whole: int

    def percent(self) -> float:
        """Facts right of facts asked, in percent."""
        return 100 * self.facts / self.asked


def count(task: Task, cases: list[Case], answers: list[str]) -> Count:
    """Compare answers with what was expected."""
    right = [facts_right(text, case.facts) for case, text in zip(cases, answers, strict=True)]
    return Count(
        task,
        len(cases),
        sum(len(case.facts) for case in cases),
        sum(right),
        sum(found == len(case.facts) for found, case in zip(right, cases, strict=True)),
        sum(text == case.answer for text, case in zip(answers, cases, strict=True)),
    )


def table(counts: list[Count]) -> str:
    """The table of the model card, in Markdown."""
    lines = [
        "| task | level | facts right | % | whole answer exact | bar % |",
        "|---|---|---|---|---|---|",
    ]
    for row in counts:
        bar = "" if row.task.bar is None else f"{row.task.bar:.0f}"
        lines.append(
            f"| {row.task.name} | {row.task.level} | {row.facts} / {row.asked} | "
            f"{row.percent():.1f} | {row.whole} / {row.cases} | {bar} |"
        )
    return "\n".join(lines)


def write(path: Path, counts: list[Count]) -> None:
    """The counts as JSON, or where `path` ends in .md, the table."""
    if path.suffix == ".md":
        path.write_text(table(counts) + "\n", encoding="utf-8")
        return
    rows = [{**vars(row), "task": row.task.name} for row in counts]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Count]:
    """Counts that `write` wrote as JSON."""
    tasks = {task.name: task for task in TASKS}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Count(**{**row, "task": tasks[row["task"]]}) for row in rows]


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--model", type=Path, default=SHIPPED)
    cli.add_argument("--cases", type=int, default=500, help="test cases per task")
    cli.add_argument("--level", type=int, choices=(1, 2), help="only the tasks of this level")
    cli.add_argument("--device", default="cpu")
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--seed", type=int, default=7)
    cli.add_argument("--misses", type=int, default=0, help="wrong answers to print per task")
    cli.add_argument("--out", type=Path, help="write the counts (.json) or the table (.md) here")
    cli.add_argument("--tasks", help="only the tasks whose names contain this")
    args = cli.parse_args()
    torch.set_num_threads(args.threads)
    answerer, counts, begin = Answerer(args.model, args.device), [], time.monotonic()
    for task in TASKS:
        if args.level not in (None, task.level) or (args.tasks or "") not in task.name:
            continue
        cases = make_cases(task, args.seed, args.cases)
        answers = answer(answerer, task, cases)
        counts.append(count(task, cases, answers))
        print(table(counts[-1:]).splitlines()[-1], flush=True)
        wrong = [at for at, case in enumerate(cases) if answers[at] != case.answer]
        for at in wrong[: args.misses]:
            print(f"    expected {cases[at].answer!r}\n    got      {answers[at]!r}")
        if args.out:
            write(args.out, counts)
    print(f"\n{table(counts)}\n\n{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
