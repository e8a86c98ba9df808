"""The programs in SGLang's language, as its own examples write them. Needs sglang."""

from __future__ import annotations

from typing import Any

import sglang as sgl

from benchmarks.frontends import workload as w


@sgl.function
def skeleton(s: Any, question: str) -> Any:
    """A skeleton, and its points side by side."""
    s += sgl.user(f"{question}\n{w.LIST_POINTS}")
    s += sgl.assistant(sgl.gen("skeleton", max_tokens=w.SKELETON))
    branches = s.fork(w.POINTS)
    for number, branch in enumerate(branches):
        branch += sgl.user(w.WRITE_POINT.format(number=number))
        branch += sgl.assistant(sgl.gen("text", max_tokens=w.POINT))
    return "\n".join(branch["text"] for branch in branches)


@sgl.function
def tree_of_thought(s: Any, question: str) -> Any:
    """Two levels of thoughts, each leaf rated, and an answer behind the best one."""
    s += sgl.user(question)
    level = [s]
    for _ in range(2):
        grown = []
        for parent in level:
            for number, branch in enumerate(parent.fork(w.BREADTH)):
                branch += sgl.user(w.THINK.format(number=number))
                branch += sgl.assistant(sgl.gen("thought", max_tokens=w.THOUGHT))
                grown.append(branch)
        level = grown
    judges = []
    for leaf in level:
        judge = leaf.fork(1)[0]
        judge += sgl.user(w.RATE)
        judge += sgl.assistant(sgl.gen("rating", max_tokens=w.RATING))
        judges.append(judge)
    found = [judge["rating"] for judge in judges]
    best = level[max(range(len(level)), key=lambda i: (found[i], -i))]
    best += sgl.user(w.CLOSE)
    best += sgl.assistant(sgl.gen("answer", max_tokens=w.CLOSING))
    return best["answer"]


@sgl.function
def judge_panel(s: Any, question: str) -> Any:
    """An answer, what the judges think of it, and a verdict."""
    s += sgl.user(question)
    s += sgl.assistant(sgl.gen("essay", max_tokens=w.ESSAY))
    branches = s.fork(len(w.JUDGES))
    for judge, branch in zip(w.JUDGES, branches, strict=True):
        branch += sgl.user(w.ASK_JUDGE.format(judge=judge))
        branch += sgl.assistant(sgl.gen("opinion", max_tokens=w.OPINION))
    opinions = "\n".join(branch["opinion"] for branch in branches)
    s += sgl.user(w.ASK_VERDICT.format(opinions=opinions))
    s += sgl.assistant(sgl.gen("verdict", max_tokens=w.VERDICT))
    return s["verdict"]


@sgl.function
def rag(s: Any, document: str, question: str) -> Any:
    """A question about a document, and two more about the answer."""
    s += sgl.user(w.READ.format(document=document, question=question))
    s += sgl.assistant(sgl.gen("found", max_tokens=w.FOUND))
    branches = s.fork(len(w.FOLLOW_UPS))
    for text, branch in zip(w.FOLLOW_UPS, branches, strict=True):
        branch += sgl.user(text)
        branch += sgl.assistant(sgl.gen("more", max_tokens=w.QUOTE))
    return "\n".join([s["found"], *(branch["more"] for branch in branches)])
