"""Scores of continuations from a server.

Where it tells the log-probabilities of tokens that are named to it, the continuations are a trie
behind a prompt that it finds in its cache. Elsewhere they are a part of the prompt, which is then
computed anew for each of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from ramify.backend.contract import ScoreRequest, Scores, Usage
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Steps, counts_of
from ramify.backend.scoring import score_by_steps


class Scorer:
    """Scores one request; `ask(path, body)` posts, and gives the answer. `score` raises
    BrokenEventError where a server leaves something out, and what `ask` raises."""

    def __init__(
        self, model: str, steps: Steps | None, ask: Callable[[str, Body], Awaitable[Body]]
    ) -> None:
        self._model = model
        self._steps = steps
        self._ask = ask
        self._begun = perf_counter()
        self.path = steps.path if steps is not None else "/completions"

    async def score(self, request: ScoreRequest) -> Scores:
        """All continuations, and the prompt's own tokens where they are asked for."""
        if self._steps is None:
            return await self._whole(request)
        scores = await score_by_steps(request, self._step, lambda: perf_counter() - self._begun)
        if request.prompt_from is None:
            return scores
        whole = await self._whole(replace(request, continuations=()))
        return replace(scores, prompt=whole.prompt, usage=scores.usage + whole.usage)

    async def _step(
        self, ids: tuple[int, ...], tokens: Sequence[int]
    ) -> tuple[dict[int, float], Usage]:
        assert self._steps is not None
        answer = await self._ask(self._steps.path, self._steps.send(ids, tokens))
        known, counts = self._steps.read(answer, tokens)
        return known, counts.usage(len(ids), 0, 0.0, 0.0)

    async def _whole(self, request: ScoreRequest) -> Scores:
        answer = await self._ask("/completions", score_body(self._model, request))
        return scores_of(request, answer, perf_counter() - self._begun)


def score_body(model: str, request: ScoreRequest) -> Body:
    """One request of all continuations: a list of prompts with `prompt_logprobs` (vLLM)."""
    prompts = [[*request.prompt.ids, *ids] for ids in request.continuations or ((),)]
    return {
        "model": model,
        "prompt": prompts,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }


def scores_of(request: ScoreRequest, answer: Body, seconds: float) -> Scores:
    """Read them. Raises BrokenEventError where something is missing."""
    start = len(request.prompt)
    continuations = request.continuations or ((),)
    choices: list[Any] = sorted(answer.get("choices", ()), key=lambda one: one.get("index", 0))
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
    tokens = sum(start + len(ids) for ids in continuations)
    cached = counts_of(answer.get("usage")).cached or 0
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
