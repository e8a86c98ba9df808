"""Parallel blocks of the engine against plain transformers and against the engine without cache."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.contract import BlockSpan, ScoreRequest, TokenPrompt
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.find_rope import find_rope
from ramify.backend.radix.hf_body import ATTENTION, HFBody, register_attention
from ramify.backend.radix.jobs import Scoring, Warming
from ramify.backend.radix.rope import Rope
from ramify.errors import BackendError, CapabilityError
from tests.backend.radix.blocks_oracle import Oracle
from tests.backend.radix.harness import CPU, Fused, Sunk, body, engine_for, generation, load, run
from tests.backend.radix.models import VOCAB, config

FUSED = ("llama", "mistral", "qwen2", "qwen3")
ABLE = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt_neox", "cohere",
    "smollm3", "gpt_oss", "qwen3_moe",
)  # fmt: skip
ALL = [*((f, False) for f in ABLE), *((f, how) for f in FUSED for how in (True, "native"))]


@functools.cache
def rope(family: str, fused: Fused = False) -> Rope:
    fused = fused is True  # the compiled body is not asked: its queries are those of the others
    return find_rope(load(family), body(family, fused=fused), context=512, device=CPU)


def engine(
    family: str = "llama", slots: int = 2000, *, fused: Fused = False, **options: Any
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
def test_logits_are_those_of_the_oracle(family: str, fused: Fused) -> None:
    @settings(max_examples=6 if family in ("llama", "mistral") else 3, deadline=None)
    @given(prompt=prompts(), budget=st.sampled_from([5, 64]), pays=st.sampled_from([1, 10_000]))
    def check(prompt: TokenPrompt, budget: int, pays: int) -> None:
        made = engine(family, fused=fused, budget=budget, max_batch=4, pays=pays)
        more = tuple(prompt.ids[:4])
        want = Oracle(family).read([*prompt.ids, *more], list(prompt.blocks))[-len(more) - 1 :]
        cold = logits_of(made, prompt, more)
        assert (cold - want).abs().max() < 1e-4
        rows = made.metrics.rows
        again = logits_of(made, prompt, more)
        assert (again - want).abs().max() < 1e-4
        assert made.metrics.rows - rows == len(more) + 1, "nothing but the rows that are asked for"

    check()


def test_models_that_cannot_are_refused_by_name() -> None:
    for family in ("gpt2", "opt"):
        with pytest.raises(CapabilityError, match=f"{family} cannot read parallel.*learned"):
            rope(family)
    for kind in ("dynamic", "longrope"):
        model = load("llama")
        model.config.rope_parameters["rope_type"] = kind
        with pytest.raises(CapabilityError, match=f"rope \\({kind}\\) changes with the length"):
            find_rope(model, HFBody(model), context=512, device=CPU)


def test_fixed_frequencies_of_every_kind_are_found() -> None:
    from transformers import AutoModelForCausalLM

    stretched = {"rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128}
    llama3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    for kind, extra in (("linear", {}), ("yarn", {}), ("llama3", llama3)):
        parameters = {"rope_type": kind, **stretched, **extra}
        model = AutoModelForCausalLM.from_config(config("llama", rope_parameters=parameters))
        register_attention()
        model.set_attn_implementation(ATTENTION)
        found = find_rope(model.eval(), HFBody(model), context=512, device=CPU)
        assert found.layers == (0, 0) and len(found.kinds[0].frequencies) == 8


def test_a_rotation_that_is_not_the_models_is_noticed() -> None:
    model = load("llama")
    model.model.rotary_emb.inv_freq *= 2  # what the layers use, too: found
    assert find_rope(model, HFBody(model), context=512, device=CPU).layers == (0, 0)
    made = HFBody(model)
    other = load("llama")  # whose frequencies are others than those that the body turns by
    with pytest.raises(CapabilityError, match="layer 0"):
        find_rope(other, made, context=512, device=CPU)


def draw(seed: int, *sizes: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(3, VOCAB, size).tolist()) for size in sizes]


def joined(
    prefix: tuple[int, ...], blocks: list[tuple[int, ...]], suffix: tuple[int, ...], repair: int = 0
) -> TokenPrompt:
    ids, spans = list(prefix), []
    for block in blocks:
        spans.append(BlockSpan(len(ids), len(ids) + len(block), 0, repair))
        ids += block
    return TokenPrompt((*ids, *suffix), tuple(spans))


def rows_of(made: Engine, prompt: TokenPrompt, n: int = 1) -> tuple[int, list[int]]:
    """How many rows a request of `n` tokens computed, and its answer."""
    before = made.metrics.rows
    job = generation(prompt.ids, n, blocks=prompt.blocks)
    made.submit(job)
    run(made, check=True)
    return made.metrics.rows - before, job.sink.ids


def test_passages_are_reused_in_any_order_and_combination() -> None:
    prefix, a, b, c, end, other = draw(1, 20, 15, 9, 12, 5, 6)
    made = engine()
    assert rows_of(made, joined(prefix, [a, b, c], end))[0] == 20 + 15 + 9 + 12 + 5
    for blocks, suffix in (([c, a], end), ([b, c, a], other), ([b], end), ([a, a], end)):
        prompt = joined(prefix, blocks, suffix)
        rows, ids = rows_of(made, prompt, 4)
        assert rows == len(suffix) + 3, "nothing but the suffix and the answer is computed"
        assert ids == rows_of(engine(cache=False), prompt, 4)[1]
        assert rows_of(made, prompt)[0] == 1, "what follows a join is found again, too"


def test_branches_that_were_decoded_are_joined_without_computing_them_again() -> None:
    prefix, end, *asked = draw(2, 30, 4, 6, 7, 8)
    made = engine()
    jobs = [generation((*prefix, *ids), 12) for ids in asked]
    for job in jobs:
        made.submit(job)
    run(made)
    blocks = [(*ids, *job.sink.ids) for ids, job in zip(asked, jobs, strict=True)]
    rows, _ = rows_of(made, joined(prefix, blocks, end))
    assert rows == len(end) + 3, "of each branch only its last token, which nobody has fed yet"
    rows, _ = rows_of(made, joined(prefix, blocks, (*end, *asked[0])))
    assert rows == len(asked[0]) + 1 - 1


def test_repair_computes_so_many_tokens_of_each_block_but_the_first() -> None:
    prefix, a, b, c, end = draw(3, 20, 15, 9, 12, 5)
    made = engine()
    rows_of(made, joined(prefix, [a, b, c], end))
    assert rows_of(made, joined(prefix, [a, b, c], end, repair=4))[0] == 4 + 4 + 5
    text = TokenPrompt((*prefix, *a, *b, *c, *end))
    whole = rows_of(made, joined(prefix, [a, b, c], end, repair=99), 6)
    assert whole[1] == rows_of(engine(), text, 6)[1], "all of it repaired is the text"
    assert rows_of(made, text, 6)[0] == 6, "and lies where the text's lies"


def test_what_is_asked_for_is_in_no_block() -> None:
    """A prompt that ends with a group: the last token sees all of it."""
    prefix, a, b = draw(4, 10, 8, 9)
    ends = joined(prefix, [a, b], ())
    want = Oracle("llama").read([*ends.ids], [*joined(prefix, [a, b[:-1]], b[-1:]).blocks])[-1:]
    got = logits_of(engine(), ends, ())
    assert (got - want).abs().max() < 1e-4


def test_spans_that_are_not_nested_are_refused() -> None:
    ids = draw(5, 20)[0]
    for spans in (
        [(2, 8, 0), (6, 10, 1)], [(2, 6, 0), (8, 10, 0)], [(5, 40, 0), (40, 50, 0)], [(-2, 4, 0)],
    ):  # fmt: skip
        with pytest.raises(BackendError, match=r"crosses another one"):
            generation((*ids, 5), 3, blocks=tuple(BlockSpan(*span) for span in spans))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_whatever_happens_the_answers_are_those_without_a_cache(data: st.DataObject) -> None:
    """Random arrivals, cancellations, pools, budgets; scores and warm prefixes among them."""
    shared = data.draw(prompts())
    asked = [shared, data.draw(prompts()), *(data.draw(continued(shared)) for _ in range(3))]
    seed = data.draw(st.integers(0, 999))
    rng = random.Random(seed)
    longest = max(sum(s.limit for s in generation(p.ids, 6, blocks=p.blocks).sequence.paths)
                  for p in asked)  # fmt: skip
    made = engine(slots=longest + rng.choice((0, 30, 2000)), budget=rng.choice((3, 17, 256)),
                  max_batch=rng.choice((1, 3, 8)), pays=rng.choice((1, 50)))  # fmt: skip
    jobs = []
    for number, prompt in enumerate(asked * 2):
        kind = rng.choice(("answer", "answer", "score", "warm", "cancel"))
        job: Any = generation(prompt.ids, 6, blocks=prompt.blocks, priority=rng.random())
        if kind == "warm":
            job = Warming(prompt, "", rng.random(), Sunk())
        elif kind == "score":
            more = (prompt.ids[:3], prompt.ids[1:5])
            job = Scoring(ScoreRequest(prompt=prompt, continuations=more), Sunk())
        made.submit(job)
        jobs.append((kind, number % len(asked), job))
        for _ in range(rng.choice((0, 0, 1, 4))):
            made.step()
            made.check()
        if kind == "cancel":
            made.cancel(job)
            made.check()
    run(made, check=True)
    for kind, number, job in jobs:
        prompt = asked[number]
        alone = engine(cache=False)
        if kind == "answer":
            assert job.sink.ids == rows_of(alone, prompt, 6)[1]
        elif kind == "score":
            twin = Scoring(
                ScoreRequest(prompt=prompt, continuations=(prompt.ids[:3], prompt.ids[1:5])), Sunk()
            )
            alone.submit(twin)
            run(alone)
            for mine, theirs in zip(
                job.sink.items[0].logprobs, twin.sink.items[0].logprobs, strict=True
            ):
                assert mine == pytest.approx(theirs, abs=1e-4)
    made.scheduler.cache.tree.clear()
    assert made.scheduler.cache.slots.used == 0, "everything comes back"


@st.composite
def continued(draw: st.DrawFn, prompt: TokenPrompt) -> TokenPrompt:
    """A prompt that goes on behind another one's blocks, or has its last group in another order."""
    more = draw(st.lists(st.integers(3, VOCAB - 1), min_size=1, max_size=6))
    at = len(prompt)
    if not prompt.blocks or draw(st.booleans()):
        half = at + len(more) // 2
        spans = (BlockSpan(at, half, 900), BlockSpan(half, at + len(more), 900))
        return TokenPrompt((*prompt.ids, *more, 7), prompt.blocks + spans)
    last = max(s.group for s in prompt.blocks)
    group = sorted((s for s in prompt.blocks if s.group == last), key=lambda s: s.start)
    ids, spans = list(prompt.ids[: group[0].start]), []
    for span in reversed(group):
        spans.append(BlockSpan(len(ids), len(ids) + span.stop - span.start, last, span.repair))
        ids += prompt.ids[span.start : span.stop]
    return TokenPrompt((*ids, *more), tuple(spans))
