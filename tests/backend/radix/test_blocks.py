"""Parallel blocks of the engine against plain transformers and against the engine without cache."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.contract import BlockSpan, ScoreRequest, TokenPrompt
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.find_rope import find_rope
from ramify.backend.radix.jobs import Scoring
from ramify.backend.radix.rope import Rope
from tests.backend.radix.blocks_oracle import Oracle
from tests.backend.radix.harness import CPU, Sunk, body, engine_for, load, run
from tests.backend.radix.models import VOCAB

FUSED = ("llama", "mistral", "qwen2", "qwen3")
ABLE = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt_neox", "cohere",
    "smollm3", "gpt_oss", "qwen3_moe",
)  # fmt: skip
ALL = [*((f, False) for f in ABLE), *((f, True) for f in FUSED)]


@functools.cache
def rope(family: str, fused: bool = False) -> Rope:
    return find_rope(load(family), body(family, fused=fused), context=512, device=CPU)


def engine(
    family: str = "llama", slots: int = 2000, *, fused: bool = False, **options: Any
) -> Engine:
    made = engine_for(family, slots, fused=fused, **options)
    made.model.rope = rope(family, fused)
    return made


@st.composite
def prompts(draw: st.DrawFn, *, most: int = 6) -> TokenPrompt:
    """Text, groups of blocks, text, ...; groups in blocks; repaired blocks; tokens that repeat."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    ids: list[int] = []
    spans: list[BlockSpan] = []
    groups = iter(range(1000))

    def text(low: int, high: int) -> None:
        ids.extend(rng.randrange(3, VOCAB) for _ in range(rng.randint(low, high)))

    def content(depth: int) -> None:
        text(0, most)
        for _ in range(rng.choice((0, 1, 1, 2)) if depth else 0):
            number, repair = next(groups), rng.choice((0, 0, 1, 3, 50))
            for _ in range(rng.randint(1, 3)):
                start = len(ids)
                content(depth - 1)
                if len(ids) == start:
                    text(1, most)
                spans.append(BlockSpan(start, len(ids), number, repair))
            text(0, most)

    text(1, 12)
    content(2)
    text(1, 3)
    return TokenPrompt(tuple(ids), tuple(spans))


def logits_of(made: Engine, prompt: TokenPrompt, more: tuple[int, ...]) -> torch.Tensor:
    """Logits of the last prompt token and of `more` behind it, through the whole engine."""
    kept: list[torch.Tensor] = []
    forward = made.model.forward
    made.model.forward = lambda step: kept.append(forward(step)) or kept[-1]  # type: ignore
    made.submit(Scoring(ScoreRequest(prompt=prompt, continuations=((*more, 5),)), Sunk()))
    run(made, check=True)
    del made.model.forward
    return torch.cat(kept)


@pytest.mark.parametrize(("family", "fused"), ALL)
def test_logits_are_those_of_the_oracle(family: str, fused: bool) -> None:
    @settings(max_examples=6, deadline=None)
    @given(prompt=prompts(), budget=st.sampled_from([5, 64]), pays=st.sampled_from([1, 10_000]))
    def check(prompt: TokenPrompt, budget: int, pays: int) -> None:
        made = engine(family, fused=fused, budget=budget, max_batch=4, pays=pays)
        more = tuple(prompt.ids[:4])
        want = Oracle(family).read([*prompt.ids, *more], list(prompt.blocks))[-5:]
        cold = logits_of(made, prompt, more)
        assert (cold - want).abs().max() < 1e-4
        rows = made.metrics.rows
        again = logits_of(made, prompt, more)
        assert (again - want).abs().max() < 1e-4
        assert made.metrics.rows - rows == 5, "nothing but the rows that are asked for"

    check()
