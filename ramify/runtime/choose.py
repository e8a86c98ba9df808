"""Choosing among options by log-probability."""

from __future__ import annotations

from dataclasses import dataclass

from ramify.backend.contract import Backend, Promise, ScoreRequest, TokenPrompt, Usage
from ramify.errors import CapabilityError
from ramify.ir.nodes import SelectMethod


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen option, its tokens, and one score per option (larger is better)."""

    option: str
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    usage: Usage


def rank(logprobs: tuple[tuple[float, ...], ...], method: SelectMethod) -> tuple[float, ...]:
    """Scores of options from the log-probabilities of their tokens.

    "likelihood" sums, "normalized" takes the mean per token (so that long options are not
    punished), "greedy" follows the most likely token step by step.
    """
    if method == "likelihood":
        return tuple(sum(option) for option in logprobs)
    if method == "normalized":
        return tuple(sum(option) / max(1, len(option)) for option in logprobs)
    places = {option: float(place) for place, option in enumerate(sorted(set(logprobs)))}
    return tuple(places[option] for option in logprobs)


async def choose(
    backend: Backend,
    prompt: TokenPrompt,
    options: tuple[str, ...],
    method: SelectMethod,
    *,
    priority: float = 0.0,
    promise: Promise | None = None,
    salt: str = "",
    label: str = "",
) -> Choice:
    """Score all options in one pass and take the best; the first of equals wins."""
    if not backend.capabilities.scores:
        raise CapabilityError(
            f"backend {backend.name!r} cannot score continuations.",
            hint="Use rf.gen(choices=[...]) here, or the embedded engine ('radix:PATH').",
        )
    encode = backend.renderer.encode_option
    continuations = tuple(encode(option, prompt) for option in options)
    request = ScoreRequest(
        prompt=prompt, continuations=continuations, priority=priority, promise=promise, salt=salt,
        label=label,
    )  # fmt: skip
    scores = await backend.score(request)
    ranked = rank(scores.logprobs, method)
    best = max(range(len(options)), key=lambda i: (ranked[i], -i))
    return Choice(options[best], continuations[best], ranked, scores.usage)
