"""`ramify demo`: the plan, the answer as it is written, the account, and the comparison."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import ramify as rf
from ramify.backend import Backend
from ramify.demo.program import describe, describe_plainly
from ramify.demo.world import Question, facts_right, load_questions, load_towns
from ramify.runtime import run_sync


@dataclass(slots=True)
class Tally:
    """Figures of one way over the questions of the comparison."""

    name: str
    backend: Backend
    program: rf.Program
    policy: rf.Policy
    seconds: list[float] = field(default_factory=list)
    computed: int = 0
    written: int = 0
    right: int = 0
    asked: int = 0

    def ask(self, question: Question, towns: rf.Index) -> None:
        """Answer one question and count."""
        begun = time.perf_counter()
        result = self.program.run(
            question.question, towns, backend=self.backend, policy=self.policy
        )
        self.seconds.append(time.perf_counter() - begun)
        self.computed += result.usage.computed_tokens
        self.written += result.usage.output_tokens
        self.right += facts_right(result.text, question.facts)
        self.asked += len(question.facts)


def show(question: str | None = None, *, quick: bool = False) -> None:
    """Run the demo on the terminal. `quick` compares on 5 questions instead of 20."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=110)
    described = [q for q in load_questions() if q.kind == "description"]
    asked = question or described[0].question
    with out.status("Reading 300 documents and loading the demo model ..."):
        towns = rf.Index.of(
            [{"id": t.id, "title": t.title, "text": t.text} for t in load_towns()],
            chunker="document",
        )
        backend = rf.open_backend("demo")
        plain = rf.open_backend("demo?cache=false&max_batch=1")
    try:
        out.print(f"{towns.describe()}\n", markup=False)
        out.rule("The plan, before anything runs")
        out.print(describe.explain(asked, towns, backend=backend), markup=False)
        out.rule(escape(asked))
        result = _watch(out, asked, towns, backend)
        cited = result["cited"]
        out.print(f"\n{cited}\n", markup=False)
        out.rule("What happened, beside the plan")
        out.print(result.explain(), markup=False)
        out.rule("The same questions the plain way")
        _compare(out, described[: 5 if quick else 20], towns, backend, plain)
    finally:
        run_sync(backend.close())
        run_sync(plain.close())


def _watch(out: Console, asked: str, towns: rf.Index, backend: Backend) -> rf.Result:
    """Stream the answer, branch by branch, side by side."""
    texts: dict[str, str] = {}
    with describe.stream(asked, towns, backend=backend) as stream:
        with Live(console=out, refresh_per_second=20) as live:
            for event in stream:
                if event.kind == "started" and event.name == "text":
                    texts[event.scope] = ""
                elif event.kind == "delta" and event.name == "text":
                    texts[event.scope] += event.text
                    live.update(_branches(texts))
        return stream.result()


def _branches(texts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for scope, text in texts.items():
        table.add_row(f"[dim]{escape(scope.rsplit('/', 1)[-1])}[/]", Text(text))
    return table


def _compare(
    out: Console,
    questions: Sequence[Question],
    towns: rf.Index,
    backend: Backend,
    plain: Backend,
) -> None:
    """Both ways on the same questions, taking turns; medians of seconds."""
    ways = (
        Tally("plain: whole passage, no cache, one after another", plain, describe_plainly,
              rf.Policy(optimize=False)),
        Tally("ramify: compressed, shared, side by side", backend, describe, rf.Policy()),
    )  # fmt: skip
    for question in questions:
        for way in ways:
            way.ask(question, towns)
    table = Table("", "s per question", "prompt tokens computed", "tokens written", "facts right")
    for way in ways:
        table.add_row(
            way.name,
            f"{statistics.median(way.seconds):.3f}",
            str(way.computed),
            str(way.written),
            f"{way.right} of {way.asked} ({way.right / max(1, way.asked):.0%})",
        )
    out.print(table)
    slow, fast = (statistics.median(way.seconds) for way in ways)
    out.print(
        f"{len(questions)} questions, measured in this run: {slow / fast:.1f}x faster, "
        f"{ways[0].computed / max(1, ways[1].computed):.1f}x fewer prompt tokens computed.\n"
        "The model is a tiny one, trained on an invented world, and knows nothing else. For a real "
        'one: backend="radix:PATH-OR-HUB-NAME".'
    )
