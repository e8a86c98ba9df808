"""Log-probabilities of continuations, step by step, on engines that can report chosen tokens.

The continuations form a trie below the prompt. For every place where it branches or goes on, the
engine computes one token and reports the log-probabilities of the tokens that follow there; the
prompt itself is found in the prefix cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ramify.backend.contract import ScoreRequest, Scores, Usage

Ids = tuple[int, ...]
Ask = Callable[[Ids, Sequence[int]], Awaitable[tuple[dict[int, float], Usage]]]


def steps_of(continuations: Sequence[Ids]) -> dict[Ids, list[int]]:
    """For each beginning of a continuation, the tokens that may follow it; shortest first."""
    found: dict[Ids, dict[int, None]] = {}
    for ids in continuations:
        for at in range(len(ids)):
            found.setdefault(ids[:at], {})[ids[at]] = None
    return {before: list(found[before]) for before in sorted(found, key=len)}


async def score_by_steps(request: ScoreRequest, ask: Ask, seconds: Callable[[], float]) -> Scores:
    """Score by `ask(ids, tokens)`: the log-probabilities of `tokens` after `ids`, and the account.

    The first question goes alone, so that the others find the prompt computed.
    """
    steps = steps_of(request.continuations)
    known: dict[Ids, dict[int, float]] = {}
    usage = Usage()
    rest = list(steps.items())
    first, rest = rest[:1], rest[1:]
    for group in (first, rest):
        asked = [ask(request.prompt.ids + before, tokens) for before, tokens in group]
        for (before, _), (found, spent) in zip(group, await asyncio.gather(*asked), strict=True):
            known[before] = found
            usage += spent
    logprobs = tuple(
        tuple(known[ids[:at]][token] for at, token in enumerate(ids))
        for ids in request.continuations
    )
    total = seconds()
    return Scores(logprobs, Usage(usage.prompt_tokens, usage.cached_tokens, 0, total, total))
