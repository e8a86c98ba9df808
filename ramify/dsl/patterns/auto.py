"""`organize="auto"`: a skeleton where router and cost model agree on it, else the plain answer.

It never chooses a graph. By the cost rule that would have to be faster, and a graph is not: it
writes a plan, its parts one behind another as they need each other, and then the whole answer. What
it buys is answers of parts that lean on each other, so it is asked for by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from ramify.dsl.branches import EachBranches
from ramify.dsl.fan_out import each
from ramify.dsl.functions import call
from ramify.dsl.operations import Gen, assistant, score, user
from ramify.dsl.patterns.skeleton import Moves
from ramify.dsl.patterns.skeleton_of_thought import SkeletonOptions, skeleton_answer
from ramify.dsl.value import Value
from ramify.ir import Way, Ways
from ramify.ir.ways import SEQUENTIAL
from ramify.router import PromptRouter, Router, RouterMissingError, default_router
from ramify.router.prompt import LETTERS

if TYPE_CHECKING:
    from ramify.dsl.state import State

SKELETON = "skeleton"
POINTS = 8  # expected, where the length has room for them
POINT_TOKENS = 8  # of a point in a skeleton
MESSAGE_TOKENS = 8  # that a chat template puts around a request and its answer
ROUTER_S = 0.01


def last_question(messages: Sequence[Mapping[str, str]]) -> str:
    """The last user message."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    return asked[-1] if asked else ""


def _decided(chance: float) -> list[Way]:
    """The router's answer as a way."""
    name = SKELETON if chance > 0.5 else SEQUENTIAL
    return [Way(name, f"the router gives it a chance of {chance:.2f}")]


def _unrouted(reason: str) -> Moves:
    """The plain answer, because nobody can be asked."""
    reason = f"there is no router: {reason}"
    return Moves([Way(SEQUENTIAL, reason)], f"plain answer: {reason}")


@lru_cache(maxsize=1)
def _warn_once(reason: str) -> None:
    warnings.warn(f'organize="auto" writes answers in one go: {reason}', stacklevel=2)


def _chance(s: State, router: Router | PromptRouter, model: str) -> Value:
    """The chance that the question at the end of the prompt suits."""
    if isinstance(router, PromptRouter):
        branch = s.fork()
        branch += user(router.request)
        branch += assistant(score("route", LETTERS, model=model))
        return call(router.chance, branch["route"], pure=True)
    return call(router.suits, call(last_question, s.messages(), pure=True), pure=True)


def expected(options: SkeletonOptions) -> Ways:
    """What a skeleton is expected to cost."""
    points = min(POINTS, options.most_points())
    asked, own = len(options.words.skeleton) // 4, len(options.words.point) // 4
    return Ways(
        answer_tokens=options.answer_tokens,
        plan_tokens=points * POINT_TOKENS,
        asked_tokens=asked + MESSAGE_TOKENS,
        branch_tokens=own + POINT_TOKENS + MESSAGE_TOKENS,
        branches=points,
        router_s=ROUTER_S,
        model=options.model,
    )


def auto_answer(s: State, piece: Gen, options: SkeletonOptions | None = None) -> Value:
    """The answer, on a state whose prompt ends with the question.

    Without a router it is written in one go, which is said in the result's notes, and once per
    process as a warning.
    """
    chosen = options or SkeletonOptions(
        sampling=piece.sampling, answer_tokens=piece.sampling.max_tokens, model=piece.model
    )
    ways: Ways | None = expected(chosen)
    try:
        items = call(_decided, _chance(s, default_router(), piece.model), pure=True)
    except RouterMissingError as error:
        _warn_once(str(error))
        ways, items = None, call(_unrouted, str(error), pure=True)

    def write(branch: State, way: Way) -> None:
        if way.name == SKELETON:
            branch["answer"] = skeleton_answer(s, chosen)
            return
        plain = s.fork()
        plain += assistant(replace(piece, name="text", organize=""))
        branch["answer"] = plain["text"]

    written = cast(EachBranches, each(s, items, write, None, ways))["answer"][0]
    written._annotation = str
    return written
