"""The programs in our language."""

from __future__ import annotations

from typing import Any

import ramify as rf
from benchmarks.frontends import workload as w


@rf.program
def skeleton(s: rf.State, question: str) -> Any:
    """A skeleton, and its points side by side."""
    s += rf.user(f"{question}\n{w.LIST_POINTS}")
    s += rf.assistant(rf.gen("skeleton", max_tokens=w.SKELETON))
    branches = s.fork(w.POINTS)
    for number, branch in enumerate(branches):
        branch += rf.user(w.WRITE_POINT.format(number=number))
        branch += rf.assistant(rf.gen("text", max_tokens=w.POINT))
    return rf.lines(*branches["text"])


@rf.program
def tree_of_thought(s: rf.State, question: str) -> Any:
    """Two levels of thoughts, each leaf rated, and an answer behind the best one."""
    s += rf.user(question)
    level = [s]
    for _ in range(2):
        grown = []
        for parent in level:
            for number, branch in enumerate(parent.fork(w.BREADTH)):
                branch += rf.user(w.THINK.format(number=number))
                branch += rf.assistant(rf.gen("thought", max_tokens=w.THOUGHT))
                grown.append(branch)
        level = grown
    ratings = []
    for leaf in level:
        with leaf.fork() as judge:
            judge += rf.user(w.RATE)
            judge += rf.assistant(rf.gen("rating", max_tokens=w.RATING))
        ratings.append(judge["rating"])
    found = rf.resolve(*ratings)
    best = level[max(range(len(level)), key=lambda i: (found[i], -i))]
    best += rf.user(w.CLOSE)
    best += rf.assistant(rf.gen("answer", max_tokens=w.CLOSING))
    return best["answer"]


@rf.program
def judge_panel(s: rf.State, question: str) -> Any:
    """An answer, what the judges think of it, and a verdict."""
    s += rf.user(question)
    s += rf.assistant(rf.gen("essay", max_tokens=w.ESSAY))
    branches = s.fork(len(w.JUDGES))
    for judge, branch in zip(w.JUDGES, branches, strict=True):
        branch += rf.user(w.ASK_JUDGE.format(judge=judge))
        branch += rf.assistant(rf.gen("opinion", max_tokens=w.OPINION))
    opinions = "\n".join(f"{opinion}" for opinion in branches["opinion"])
    s += rf.user(w.ASK_VERDICT.format(opinions=opinions))
    s += rf.assistant(rf.gen("verdict", max_tokens=w.VERDICT))
    return s["verdict"]


@rf.program
def rag(s: rf.State, document: str, question: str) -> Any:
    """A question about a document, and two more about the answer."""
    s += rf.user(w.READ.format(document=document, question=question))
    s += rf.assistant(rf.gen("found", max_tokens=w.FOUND))
    branches = s.fork(len(w.FOLLOW_UPS))
    for text, branch in zip(w.FOLLOW_UPS, branches, strict=True):
        branch += rf.user(text)
        branch += rf.assistant(rf.gen("more", max_tokens=w.QUOTE))
    return rf.lines(s["found"], *branches["more"])
