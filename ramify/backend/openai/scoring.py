"""Scores of continuations from a server: their tokens as a part of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramify.backend.contract import ScoreRequest, Scores, Usage
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, counts_of


def score_bodies(model: str, request: ScoreRequest) -> list[Body]:
    """One request of all continuations: a list of prompts with `prompt_logprobs` (vLLM)."""
    prompts = [[*request.prompt.ids, *ids] for ids in request.continuations or ((),)]
    return [
        {
            "model": model,
            "prompt": prompts,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
        }
    ]


def scores_of(request: ScoreRequest, answers: Sequence[Body], seconds: float) -> Scores:
    """Read them. Raises BrokenEventError where something is missing."""
    start = len(request.prompt)
    continuations = request.continuations or ((),)
    choices: list[Any] = [choice for answer in answers for choice in answer.get("choices", ())]
    choices.sort(key=lambda choice: choice.get("index", 0))
    if len(choices) != len(continuations):
        raise BrokenEventError(f"{len(choices)} scores for {len(continuations)} texts")
    found = []
    for ids, choice in zip(continuations, choices, strict=True):
        steps = choice.get("prompt_logprobs")
        if not isinstance(steps, list) or len(steps) != start + len(ids):
            raise BrokenEventError("the log-probabilities of the prompt are missing")
        found.append(_row(steps, start, ids))
    prompt: tuple[float, ...] = ()
    if request.prompt_from is not None:
        own = request.prompt.ids[request.prompt_from :]
        prompt = _row(choices[0]["prompt_logprobs"], request.prompt_from, own)
    counts = [counts_of(answer.get("usage")) for answer in answers]
    tokens = sum(start + len(ids) for ids in continuations)
    cached = sum(count.cached or 0 for count in counts)
    scores = tuple(found[: len(request.continuations)])
    return Scores(scores, Usage(tokens, min(cached, tokens), 0, seconds, seconds), prompt)


def _row(steps: Sequence[Any], start: int, ids: Sequence[int]) -> tuple[float, ...]:
    """The log-probabilities of tokens that stand from `start` on."""
    try:
        return tuple(
            float(steps[start + at][str(token)]["logprob"]) for at, token in enumerate(ids)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenEventError(f"a log-probability is missing: {error}") from error
