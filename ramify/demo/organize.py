"""The demo world's answers in parts, in the words that the demo model was taught.

How well it learned them is in the table of its card; see `python -m benchmarks organize_quality`.
"""

from __future__ import annotations

from typing import Any

import ramify as rf
from ramify.demo.requests import BY_POINTS, CONCLUDE, KNOWN, LIST_POINTS, PLAN, POINT, SYSTEM
from ramify.dsl.operations import Gen
from ramify.dsl.patterns.graph_plan import Part
from ramify.dsl.patterns.skeleton_graph import GraphOptions, graph_answer
from ramify.dsl.patterns.skeleton_of_thought import SkeletonOptions, skeleton_answer
from ramify.ir import Forks, Sampling

DESCRIPTION_TOKENS, POINT_TOKENS, SKELETON_TOKENS, PLAN_TOKENS = 240, 32, 96, 256
PART_TOKENS = 40  # of a plan: a comparison says both numbers

SKELETON_WORDS = rf.patterns.SkeletonWords(
    skeleton=LIST_POINTS,
    point=POINT,
    heading="",
)
GRAPH_WORDS = rf.patterns.GraphWords(
    plan=PLAN,
    part="{question}",
    known=KNOWN,
    conclusion=CONCLUDE,
)


@rf.program
def describe_at_once(s: rf.State, passage: str, town: str) -> Any:
    """A description in one answer."""
    s += rf.system(SYSTEM)
    s += [rf.user(passage), rf.user(f"Describe {town}.")]
    s += rf.assistant(rf.gen("text", max_tokens=DESCRIPTION_TOKENS))
    return s["text"]


@rf.program
def describe_in_turns(s: rf.State, passage: str, points: list[str]) -> Any:
    """The points one after another, each in sight of the ones before."""
    s += rf.system(SYSTEM)
    s += rf.user(passage)
    for number, point in enumerate(points):
        s += rf.user(SKELETON_WORDS.point.format(title=point))
        s += rf.assistant(rf.gen(f"text{number}", max_tokens=POINT_TOKENS))
    return rf.lines(*(s[f"text{number}"] for number in range(len(points))))


@rf.program
def describe_by_skeleton(
    s: rf.State, passage: str, town: str, options: SkeletonOptions | None = None
) -> Any:
    """A skeleton, its points side by side; `options` may bring a skeleton of their own."""
    s += rf.system(SYSTEM)
    s += [rf.user(passage), rf.user(f"Describe {town}.")]
    return skeleton_answer(s, options or skeleton_options())


def skeleton_options(**changes: Any) -> SkeletonOptions:
    """The options of a description."""
    given: dict[str, Any] = {
        "sampling": Sampling(max_tokens=POINT_TOKENS),
        "skeleton_tokens": SKELETON_TOKENS,
        "words": SKELETON_WORDS,
    }
    return SkeletonOptions(**(given | changes))


@rf.program
def describe_by_forks(s: rf.State, passage: str, town: str) -> Any:
    """The model branches by itself."""
    s += rf.system(SYSTEM)
    s += [rf.user(passage), rf.user(BY_POINTS.format(town=town))]
    s += rf.assistant(Gen("text", Sampling(max_tokens=DESCRIPTION_TOKENS), forks=Forks()))
    return s["text"]


@rf.program
def answer_at_once(s: rf.State, question: str, towns: rf.Index, k: int = 4) -> Any:
    """A question over several towns, from `k` passages in one prompt."""
    s += rf.system(SYSTEM)
    s += rf.user(rf.retrieve(towns, question, k=k), f"\n\n{question}")
    s += rf.assistant(rf.gen("answer", max_tokens=PART_TOKENS))
    return s["answer"]


@rf.program
def answer_by_graph(s: rf.State, question: str, towns: rf.Index) -> Any:
    """The same through sub-questions, each with the one passage that fits it."""

    def begin(branch: rf.State, part: Part, query: Any) -> None:
        branch += rf.system(SYSTEM)
        if len(part.needs) < 2:  # what puts two answers together needs no passage
            branch += rf.user(rf.retrieve(towns, query, k=1))

    s += rf.user(question)
    options = GraphOptions(
        sampling=Sampling(max_tokens=PART_TOKENS),
        limit=3,
        plan_tokens=PLAN_TOKENS,
        part_tokens=PART_TOKENS,
        words=GRAPH_WORDS,
        begin=begin,
        conclude=False,
    )
    return graph_answer(s, options)
