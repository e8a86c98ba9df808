"""Skeleton-of-Thought (Ning et al., ICLR 2024, arXiv 2307.15337), as a program.

First a skeleton of short points, then every point side by side. Unlike the paper's prompts, ours
put the question first, so that the skeleton and all points share the question's prefix, and all
points share everything but the number and title of their own at the very end. No answer has to be
begun for the model, so chat APIs will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from ramify.dsl.branches import EachBranches
from ramify.dsl.functions import call
from ramify.dsl.operations import Gen, assistant, gen, system, user
from ramify.dsl.patterns.skeleton import (
    Plainly,
    Point,
    Skeleton,
    moves,
    need_question,
    read_skeleton,
    skeleton_constraint,
)
from ramify.dsl.program import program
from ramify.dsl.value import Value
from ramify.ir import Constraint, JoinMode, Sampling

if TYPE_CHECKING:
    from ramify.dsl.state import State

LEAST_TOKENS = 16  # of a point: less says nothing


@dataclass(frozen=True, slots=True)
class SkeletonWords:
    """What the model is asked. `{number}` and `{title}` in `point` stand for the point's own."""

    skeleton: str = "List 3 to 10 points of the answer, 3 to 5 words each, as JSON."
    point: str = "Write in two sentences only {number}. {title}"
    begun: str = "Write one point, in two sentences."  # where its heading begins the answer
    heading: str = "{number}. {title}: "


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonOptions:
    """How a skeleton is written and expanded; token counts are upper limits.

    `sampling` is that of the points and of the plain answer, with `answer_tokens` for all points
    together (0: each point may have sampling.max_tokens). A `constrained` skeleton is JSON with
    at most so many points, or what a constraint of your own allows; otherwise the model writes it
    freely. `read` makes points of what it wrote. With `begun` the heading of a point begins its
    answer for the model, as the paper does it: the branches then differ by nothing else, and fewer
    tokens are read. Only for backends that go on in the middle of a message.
    """

    sampling: Sampling
    limit: int = 10
    skeleton_tokens: int = 160
    answer_tokens: int = 0
    model: str = ""
    constrained: bool | Constraint = True
    begun: bool = False
    words: SkeletonWords = SkeletonWords()
    read: Callable[[str], Skeleton] = read_skeleton

    def form(self) -> Constraint | None:
        """What the skeleton must look like."""
        if isinstance(self.constrained, Constraint):
            return self.constrained
        return skeleton_constraint(self.most_points()) if self.constrained else None

    def most_points(self) -> int:
        """At most `limit`, and no more than what leaves each a few tokens."""
        if not self.answer_tokens:
            return self.limit
        return max(2, min(self.limit, self.answer_tokens // LEAST_TOKENS))

    def point(self, count: int) -> Gen:
        """The generation of one of `count` points."""
        tokens = self.sampling.max_tokens
        if self.answer_tokens:
            tokens = max(LEAST_TOKENS, ceil(self.answer_tokens / count))
        return _written(self, "text", tokens)


def _written(options: SkeletonOptions, name: str, tokens: int) -> Gen:
    least = min(options.sampling.min_tokens, tokens)
    sampling = replace(options.sampling, max_tokens=tokens, min_tokens=least)
    return Gen(name, sampling, model=options.model)


def _put_together(heads: list[str], texts: list[str]) -> str:
    """The answer; a plain one has no heading."""
    return "".join(head + text.strip() for head, text in zip(heads, texts, strict=True))


def write_points(s: State, options: SkeletonOptions) -> tuple[State, EachBranches]:
    """Ask for the skeleton on a branch of `s`, whose prompt ends with the question.

    Returns that branch, and its own branches: `head` and `text` of each point, or of the plain
    answer alone.
    """
    words = options.words
    planner = s.fork()
    planner += user(words.skeleton)
    planner += assistant(
        Gen(
            "skeleton",
            Sampling(
                max_tokens=options.skeleton_tokens, ignore_end=options.sampling.ignore_end
            ),
            options.form(),
            parse=options.read,
            lenient=True,
            model=options.model,
        )
    )
    todo = call(moves, planner["skeleton"], options.most_points(), pure=True)

    def expand(branch: State, move: Point | Plainly) -> None:
        if isinstance(move, Plainly):
            branch["head"] = ""
            plain = s.fork()
            tokens = options.answer_tokens or options.limit * options.sampling.max_tokens
            plain += assistant(_written(options, "text", tokens))
            branch["text"] = plain["text"]
            branch += assistant(plain["text"])
            return
        parts = {"number": move.number, "title": move.title}
        # what stands before the text in the answer; a node, so that streams can read it
        head = words.heading.format(**parts)
        branch["head"] = "\n" * (move.number > 1) + head
        if options.begun:
            branch += user(words.begun)
            branch += assistant(head.rstrip(), options.point(move.count))
            return
        branch += user(words.point.format(**parts))
        branch += assistant(options.point(move.count))

    return planner, planner.each(todo, expand)


def skeleton_answer(s: State, options: SkeletonOptions) -> Value:
    """The whole answer, put together in the order of the points."""
    _, points = write_points(s, options)
    answer = call(_put_together, points["head"], points["text"], pure=True)
    answer._annotation = str
    return answer


@program
def skeleton_of_thought(
    s: State,
    question: str,
    system_text: str = "",
    point_tokens: int = 96,
    limit: int = 10,
    skeleton_tokens: int = 160,
    closing: str = "",
    closing_tokens: int = 64,
    join: JoinMode = "text",
    model: str = "",
    constrained: bool | Constraint = True,
    begun: bool = False,
    words: SkeletonWords = SkeletonWords(),
) -> Value:
    """Answer `question` by a skeleton whose points are written side by side.

    `limit` is the largest number of points; the rest of a longer skeleton is left out, and said so
    in the result's notes. A skeleton that cannot be read or has one point falls back to the plain
    answer of `limit * point_tokens` tokens. With `closing`, a request such as "Close with one
    sentence.", the model reads all points once more, joined as `join` says (see State.join).
    `begun`: see SkeletonOptions.

    Raises ProgramError for an empty question.
    """
    need_question(question, "skeleton_of_thought")
    if system_text:
        s += system(system_text)
    s += user(question)
    options = SkeletonOptions(
        sampling=Sampling(max_tokens=point_tokens),
        limit=limit,
        skeleton_tokens=skeleton_tokens,
        model=model,
        constrained=constrained,
        begun=begun,
        words=words,
    )
    planner, points = write_points(s, options)
    answer = call(_put_together, points["head"], points["text"], pure=True)
    answer._annotation = str
    if closing:
        planner.join(points, mode=join)
        planner += user(closing)
        planner += assistant(gen("closing", max_tokens=closing_tokens, model=model))
        answer = call(_closed, answer, planner["closing"], pure=True)
        answer._annotation = str
    s["answer"] = answer
    return answer


def _closed(answer: str, closing: str) -> str:
    return f"{answer}\n{closing.strip()}"
