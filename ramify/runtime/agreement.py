"""How far an answer behind parallel blocks agrees with the answer behind the same text in order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

from ramify.backend.collect import collect
from ramify.backend.contract import Backend, Request, TokenPrompt
from ramify.ir import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAgreement:
    """One generation that read parallel blocks, beside its twin that read them as text.

    `kl` is the divergence of the two distributions of the first token in nats, KL(text || blocks);
    None where the backend reports no log-probabilities.
    """

    node: str
    blocks: int
    tokens: int  # of the answer
    agree: int  # of them: equal to the twin's up to the first difference
    kl: float | None

    def __str__(self) -> str:
        kl = "" if self.kl is None else f", KL of the first {self.kl:.2g}"
        return f"agrees with the text join for {self.agree} of {self.tokens} tokens{kl}"


async def compare(backend: Backend, request: Request, ids: tuple[int, ...]) -> JoinAgreement:
    """Ask again with the blocks as text; `ids` are what the request was answered with.

    The twin is greedy, or drawn with the same seed. It costs what a text join costs, and is in
    nobody's account.
    """
    text = replace(request, prompt=replace(request.prompt, blocks=()), priority=0.0, stream=False)
    twin = await collect(backend.generate(text))
    pairs = zip(ids, twin.ids, strict=False)
    agree = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    kl = None
    if backend.capabilities.logprobs:
        there = await _first(backend, request, text.prompt)
        here = await _first(backend, request, request.prompt)
        kl = divergence(there, here)
    return JoinAgreement(
        node=request.label, blocks=len(request.prompt.blocks), tokens=len(ids), agree=agree, kl=kl
    )


def divergence(p: Mapping[int, float], q: Mapping[int, float]) -> float:
    """KL(p || q) in nats of two distributions given as log-probabilities by token.

    What only one of them names is taken together as one token, so that a backend which reports the
    likeliest tokens only gives a lower bound.
    """
    common = p.keys() & q.keys()
    total = sum(math.exp(p[i]) * (p[i] - q[i]) for i in common)
    rest_p = 1.0 - sum(math.exp(p[i]) for i in common)
    rest_q = 1.0 - sum(math.exp(q[i]) for i in common)
    if rest_p > 1e-6 and rest_q > 1e-6:  # below, it is rounding
        total += rest_p * math.log(rest_p / rest_q)
    return max(0.0, total)


async def _first(backend: Backend, request: Request, prompt: TokenPrompt) -> dict[int, float]:
    """The log-probabilities of the first token, of as many tokens as the backend tells."""
    size = backend.renderer.tokenizer.vocab_size
    one = Sampling(max_tokens=1, ignore_end=True, logprobs=size)
    asked = Request(prompt=prompt, sampling=one, salt=request.salt, label=request.label)
    found = await collect(backend.generate(asked))
    return dict(found.logprobs[0].top)
