"""Count answers over vectors: `python -m examples.demo_world.gist_evaluate [--cases 500]`.

Unseen test towns, greedy, through the language and the embedded engine: a passage is compressed by
each method in turn and the same questions are asked. A case counts as right as in `evaluate`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ramify as rf
from examples.demo_world.cases import TASKS, Case, make_cases
from examples.demo_world.evaluate import SHIPPED, count
from ramify.compressors import Gist
from ramify.retrieval import Passage, Passages

ASKED = "one passage"  # the task of `cases` whose questions are asked
FEWEST = 8  # tokens of room beyond the expected answer
NUMBERS = 0.06  # of a passage's tokens: its number, which stays text, and what rounding adds


@dataclass(frozen=True)
class Way:
    """How passages are shortened. `question`: whether the compressor may read the question."""

    name: str
    method: Any = "none"
    rate: float = 1.0
    question: bool = False


@dataclass(frozen=True)
class Row:
    """A way's counts over all cases: facts right, whole answers exact, prompt positions that the
    passages took as text and took here."""

    way: str
    cases: int
    right: int
    whole: int
    before: int
    after: int


def pieces(case: Case) -> tuple[list[dict[str, str]], Passages, str]:
    """What stands before the passages, these, and the request; the layout with two messages."""
    before = [message for message in case.messages if message["role"] == "system"]
    said = "\n\n".join(m["content"] for m in case.messages if m["role"] == "user")
    block, request = said.split("\n\n")
    lines = [line.split("] ", 1) for line in block.split("\n")]
    made = [Passage(id=head[1:], text=text, number=int(head[1:])) for head, text in lines]
    return before, Passages(made), request


@rf.program
def answer(s: rf.State, case: Case, way: Way, tokens: int) -> Any:
    """One case; the value is the answer and the positions that the passages took."""
    before, passages, request = pieces(case)
    for message in before:
        s += rf.system(message["content"])
    if way.method == "none":
        short: Any = passages
    else:
        question = request if way.question else None
        short = rf.compress(passages, rate=way.rate, question=question, method=way.method)
    one_message = len(case.messages) - len(before) == 1
    if one_message:
        s += rf.user(short, f"\n\n{request}")
    else:
        s += [rf.user(short), rf.user(request)]
    s += rf.assistant(rf.gen("answer", max_tokens=tokens))
    return {"answer": s["answer"], "short": short}


def run(backend: Any, way: Way, cases: Sequence[Case]) -> Row:
    """All cases one way."""
    size = backend.renderer.count_text
    tokens = max(size(case.answer) for case in cases) + FEWEST
    rows = [{"case": case, "way": way, "tokens": tokens} for case in cases]
    values = [result.value for result in answer.run_batch(rows, backend=backend)]
    task = next(task for task in TASKS if task.name == ASKED)
    counted = count(task, list(cases), [value["answer"].strip() for value in values])
    before = sum(size(str(pieces(case)[1])) for case in cases)
    after = sum(
        before_of(value["short"], size) if way.method == "none" else value["short"].tokens_after
        for value in values
    )
    return Row(way.name, len(cases), counted.right, counted.whole, before, after)


def before_of(passages: Passages, size: Any) -> int:
    """Tokens of passages as they are."""
    return int(size(str(passages)))


def table(rows: Sequence[Row]) -> str:
    """The counts in Markdown."""
    lines = [
        "| the passage as | positions kept | facts right | whole answer exact |",
        "|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.way} | {100 * row.after / row.before:.0f} % | {row.right} / {row.cases} | "
            f"{row.whole} / {row.cases} |"
        )
    return "\n".join(lines)


def ways(model: Path, head: Path | None, ratios: Sequence[float]) -> list[Way]:
    """The text, the head at each ratio, and text compression of the same budgets."""
    found = [Way("text"), Way("function words dropped", "words", 0.1)]
    for ratio in ratios:
        rate = 1 / ratio + NUMBERS
        found.append(Way(f"vectors, {ratio:g} tokens each", Gist(model, head), rate))
        found.append(Way(f"sentences, {100 * rate:.0f} %", "extractive", rate))
        by_question = f"sentences by the question, {100 * rate:.0f} %"
        found.append(Way(by_question, "extractive", rate, True))
    return found


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--model", type=Path, default=SHIPPED)
    cli.add_argument("--head", type=Path, help="its file; by default the one beside the model")
    cli.add_argument("--cases", type=int, default=500)
    cli.add_argument("--seed", type=int, default=7)
    cli.add_argument("--ratios", type=float, nargs="+", default=[2.0, 3.0])
    cli.add_argument("--out", type=Path, help="write the counts here, as JSON")
    args = cli.parse_args()
    begin = time.monotonic()
    (task,) = (task for task in TASKS if task.name == ASKED)
    cases = make_cases(task, args.seed, args.cases)
    backend = rf.open_backend(f"radix:{args.model}?dtype=float32")
    rows: list[Row] = []
    for way in ways(args.model, args.head, args.ratios):
        rows.append(run(backend, way, cases))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        if args.out:
            args.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    rf.close_backends()
    print(f"\n{table(rows)}\n\n{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
