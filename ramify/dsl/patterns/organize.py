"""`rf.gen(..., organize=...)`: a generation that is written as one of the patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ramify.dsl.operations import Gen, assistant
from ramify.dsl.patterns.auto import auto_answer
from ramify.dsl.patterns.skeleton_graph import graph_answer, organized_options
from ramify.dsl.patterns.skeleton_of_thought import SkeletonOptions, skeleton_answer
from ramify.dsl.value import Value
from ramify.ir import Forks

if TYPE_CHECKING:
    from ramify.dsl.state import State


def skeleton(s: State, piece: Gen) -> Value:
    """`max_tokens` is shared out among the points."""
    options = SkeletonOptions(
        sampling=piece.sampling, answer_tokens=piece.sampling.max_tokens, model=piece.model
    )
    return skeleton_answer(s, options)


def graph(s: State, piece: Gen) -> Value:
    """`max_tokens` is the length of the last answer, and of each part at most."""
    return graph_answer(s, organized_options(piece))


def fork(s: State, piece: Gen) -> Value:
    """The answer of a model that forks by itself; `max_tokens` bounds each of its paths."""
    forks = piece.forks or Forks()
    s += assistant(replace(piece, name="answer", organize="", forks=forks))
    return s["answer"]


def auto(s: State, piece: Gen) -> Value:
    """Forks where the program names the tokens of a model that was trained to: it learned when
    not to, and an answer that forks has no more tokens than one that does not. Else a skeleton or
    the plain answer (see auto.py)."""
    return auto_answer(s, piece) if piece.forks is None else fork(s, piece)


WAYS: dict[str, Callable[[State, Gen], Value]] = {
    "skeleton": skeleton,
    "graph": graph,
    "fork": fork,
    "auto": auto,
}


def organized(s: State, piece: Gen) -> Value:
    """The answer as a value, which becomes the text of the assistant message that is open on `s`.

    The parts are asked for on branches from before that message.
    """
    branch = s.before_message(f"organize={piece.organize!r}")
    answer = WAYS[piece.organize](branch, piece)
    s += answer
    return answer
