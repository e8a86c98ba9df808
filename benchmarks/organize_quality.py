"""Facts right in answers written in parts, against answers in one go, with the demo model.

200 descriptions of shipped towns (one passage, up to ten facts) and 200 questions of two steps:
exact values, counted. Descriptions in one answer; point after point in one conversation;
as a skeleton, whose points the model names itself or is given (those that the passage speaks of);
with fork tokens. Questions at once from four retrieved passages, and as a graph of sub-questions
with one passage each.

`skeleton_facts`: facts right in skeleton answers over 95 % of those in the better of the two
sequential ways, so 1 or more means that the bar holds; `skeleton_given_facts` with the points
given; `fork_facts` likewise. `graph_over_direct`: questions right by graph over those right at
once. What the model at hand has not learned shows as such in its row ("structure": how many answers
had the form at all); its quality is then open, not bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ramify as rf
from benchmarks.harness import Options, Report
from ramify.demo import organize as ways
from ramify.demo.program import outline
from ramify.demo.world import Town, facts_right, load_questions, load_towns, model_path
from ramify.dsl.patterns.skeleton import Point, Skeleton
from ramify.retrieval import Passages

COUNT, QUICK = 200, 40


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the values that a right answer names."""

    question: str
    facts: Mapping[str, str]


def steps(count: int, towns: Sequence[Town]) -> list[Asked]:
    """The shipped questions of two steps, then more of their kind."""
    found = [
        Asked(question.question, question.facts)
        for question in load_questions()
        if question.kind == "two_step"
    ]
    for town in towns:
        if len(found) >= count:
            break
        if "river" in town.facts and "mayor" in town.facts:
            question = f"Who is the mayor of the town on the river {town.facts['river']}?"
            if all(question != other.question for other in found):
                found.append(Asked(question, {"mayor": town.facts["mayor"]}))
    return found[:count]


def row(way: str, texts: Sequence[str], facts: Sequence[Mapping[str, str]], structure: int | None,
        results: rf.BatchResult) -> dict[str, Any]:  # fmt: skip
    """Counts of one way."""
    right = sum(facts_right(text, own) for text, own in zip(texts, facts, strict=True))
    total = sum(map(len, facts))
    whole = sum(facts_right(t, own) == len(own) for t, own in zip(texts, facts, strict=True))
    return {
        "way": way,
        "questions": len(texts),
        "facts right": right,
        "of": total,
        "%": 100 * right / total,
        "all right": whole,
        "structure": structure,
        "prompt computed": results.usage.computed_tokens,
        "written": results.usage.output_tokens,
    }


def asked(program: rf.Program, rows: Sequence[Mapping[str, Any]], backend: Any) -> rf.BatchResult:
    """The rows, sixteen at a time; an answer that failed reads as nothing."""
    return program.run_batch(rows, backend=backend, concurrency=16, explain=True)


def text_of(result: rf.Result) -> str:
    return "" if result.failure is not None else result.text


def planned(results: rf.BatchResult) -> int:
    """Answers whose plan could be used."""
    return sum(
        r.failure is None and not any("plain answer" in note for note in r.notes)
        for r in results.by_row.values()
    )


def branched(results: rf.BatchResult) -> int:
    """Answers that forked at least once."""
    return sum(
        r.failure is None and any("branches" in a.note for a in r.accounts.values())
        for r in results.by_row.values()
    )


def points_of(town: Town) -> list[str]:
    """The points that the passage speaks of, by the words in it."""
    return outline(Passages.of([town.text]))


def given(points: Sequence[str]) -> Any:
    """Options of a skeleton whose points are given, whatever the model writes."""
    skeleton = Skeleton(tuple(Point(i, title) for i, title in enumerate(points, 1)))
    return ways.skeleton_options(read=lambda text: skeleton, skeleton_tokens=1, constrained=False)


def descriptions(towns: Sequence[Town], backend: Any) -> list[dict[str, Any]]:
    """The five ways to describe a town."""
    facts = [town.facts for town in towns]
    both = [{"passage": f"[1] {town.text}", "town": town.title} for town in towns]
    points = [points_of(town) for town in towns]
    turns = [{"passage": b["passage"], "points": p} for b, p in zip(both, points, strict=True)]
    named = [{**b, "options": given(p)} for b, p in zip(both, points, strict=True)]
    found = []
    for way, program, rows, structure in (
        ("in one answer", ways.describe_at_once, both, None),
        ("point after point", ways.describe_in_turns, turns, None),
        ("skeleton", ways.describe_by_skeleton, both, planned),
        ("skeleton, points given", ways.describe_by_skeleton, named, planned),
        ("fork tokens", ways.describe_by_forks, both, branched),
    ):
        results = asked(program, rows, backend)
        texts = [text_of(results.by_row[i]) for i in range(len(rows))]
        found.append(row(way, texts, facts, structure and structure(results), results))
    return found


def questions(some: Sequence[Asked], backend: Any) -> list[dict[str, Any]]:
    """Both ways to answer in steps."""
    towns = [(town.title, town.text) for town in load_towns()]
    index = rf.Index.of(towns, dense=False)
    rows = [{"question": one.question, "towns": index} for one in some]
    found = []
    for way, program, structure in (
        ("question at once", ways.answer_at_once, None),
        ("question by graph", ways.answer_by_graph, planned),
    ):
        results = asked(program, rows, backend)
        texts = [text_of(results.by_row[i]) for i in range(len(rows))]
        facts = [one.facts for one in some]
        found.append(row(way, texts, facts, structure and structure(results), results))
    return found


def run(options: Options) -> Report:
    """Ask the model that ships."""
    count = QUICK if options.quick else COUNT
    towns = load_towns()
    backend = rf.open_backend(f"radix:{model_path()}")
    rows = descriptions(towns[:count], backend) + questions(steps(count, towns), backend)
    right = {each["way"]: each["facts right"] for each in rows}
    best = max(right["in one answer"], right["point after point"], 1)
    ratios = {
        "skeleton_facts": right["skeleton"] / (0.95 * best),
        "skeleton_given_facts": right["skeleton, points given"] / (0.95 * best),
        "fork_facts": right["fork tokens"] / (0.95 * best),
        "graph_over_direct": right["question by graph"] / max(right["question at once"], 1),
    }
    return Report("organize_quality", rows, ratios)
