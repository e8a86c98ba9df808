"""The main job: a description of a town, point by point, from the passage that tells of it."""

from __future__ import annotations

from typing import Any

import ramify as rf
from ramify.demo.requests import POINT, SYSTEM
from ramify.demo.world import ASPECTS
from ramify.retrieval import Passages

RATE = 0.8  # function words are about a fifth of a passage

# words by which a passage gives away that it tells of an aspect
_CUES = {
    "founding": ("founding", "founded"),
    "river": ("river", "banks of"),
    "mayor": ("mayor",),
    "export": ("export", "sells"),
    "festival": ("festival", "celebrates", "holds the", "visitors come"),
    "landmark": ("landmark", "sight", "proud of", "above the roofs"),
    "population": ("population", "people live", "home to"),
    "neighbour": ("neighbour", "next to"),
    "school": ("school", "children", "pupils"),
    "ferry": ("ferry",),
}


def outline(passages: Passages) -> list[str]:
    """The titles of the aspects that the passages speak of, in the order of `ASPECTS`."""
    text = str(passages).lower()
    return [a.title for a in ASPECTS if any(cue in text for cue in _CUES[a.key])]


@rf.program
def describe(s: rf.State, question: str, towns: rf.Index) -> Any:
    """Retrieve, compress, outline, one branch per point, one text with citations."""
    found = rf.retrieve(towns, question, k=1)
    s += rf.system(SYSTEM)
    s += rf.user(rf.compress(found, rate=RATE, method="words"))

    def write(branch: rf.State, point: str) -> None:
        branch += rf.user(POINT.format(title=point))
        branch += rf.assistant(rf.gen("text", max_tokens=40))

    points = s.each(rf.call(outline, found, pure=True), write)
    answer = rf.lines(points["text"])
    s["cited"] = rf.cite(answer, found)
    return answer


@rf.program
def describe_plainly(s: rf.State, question: str, towns: rf.Index) -> Any:
    """The same job as one would write it by hand: whole passage, one call after another."""
    found = rf.resolve(rf.retrieve(towns, question, k=1))[0]
    texts = []
    for point in outline(found):
        branch = s.fork()
        branch += rf.system(SYSTEM)
        branch += rf.user(str(found))
        branch += rf.user(POINT.format(title=point))
        branch += rf.assistant(rf.gen("text", max_tokens=40))
        texts.append(str(branch["text"]))
    return "\n".join(texts)
