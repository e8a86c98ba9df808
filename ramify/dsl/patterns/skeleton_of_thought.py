"""Skeleton-of-Thought (Ning et al., ICLR 2024, arXiv 2307.15337), as a program.

First a skeleton of short points, then every point side by side. Unlike the paper's prompts, ours
put the question first, so that the skeleton and all points share the question's prefix, and all
points share everything but their last line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.functions import call
from ramify.dsl.operations import Gen, assistant, gen, user
from ramify.dsl.program import program
from ramify.dsl.typed import Outline
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State

SKELETON = (
    "Do not answer yet. List the points of the answer, 3 to 10 of them, 3 to 5 words each, "
    "as JSON with the key points."
)


def _assemble(outline: Outline, texts: list[str]) -> str:
    """The answer: points numbered in order, each with its text."""
    pairs = zip(outline.points, texts, strict=False)
    return "\n".join(f"{i}. {point}: {text.strip()}" for i, (point, text) in enumerate(pairs, 1))


def expand_points(
    s: State, *, point_tokens: int, limit: int, outline_tokens: int, model: str = ""
) -> Value:
    """Outline, branches, and their assembly, on a state whose prompt ends with the question."""
    with s.fork() as planner:
        planner += user(SKELETON)
        planner += assistant(gen("outline", schema=Outline, max_tokens=outline_tokens, model=model))
    outline = planner["outline"]

    def expand(branch: State, point: str) -> None:
        branch += user(f"Write only this point, one or two sentences: {point}")
        branch += assistant(gen("text", max_tokens=point_tokens, model=model))

    points = planner.each(outline.points, expand, limit=limit)
    answer = call(_assemble, outline, points["text"], pure=True)
    answer._annotation = str
    return answer


@program
def skeleton_of_thought(
    s: State,
    question: str,
    system: str = "",
    point_tokens: int = 96,
    limit: int = 10,
    outline_tokens: int = 128,
) -> Value:
    """Answer `question` by a skeleton whose points are written side by side.

    `limit` is the largest number of points; the rest of a longer skeleton is left out.
    """
    if system:
        from ramify.dsl.operations import system as system_message

        s += system_message(system)
    s += user(question)
    s["answer"] = expand_points(
        s, point_tokens=point_tokens, limit=limit, outline_tokens=outline_tokens
    )
    return s["answer"]


def organized(s: State, piece: Gen) -> Value:
    """`rf.assistant(rf.gen(..., organize="skeleton"))`: the assembled text becomes the message.

    The skeleton is asked for on a branch from before the assistant message.
    """
    branch = s.before_message(f"organize={piece.organize!r}")
    answer = expand_points(
        branch,
        point_tokens=piece.sampling.max_tokens,
        limit=10,
        outline_tokens=128,
        model=piece.model,
    )
    s += answer
    return answer
