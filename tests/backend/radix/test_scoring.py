"""Log-probabilities of prompts and continuations against transformers, in float32."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.contract import BlockSpan, ScoreRequest, TokenPrompt, VectorSpan
from ramify.backend.radix import scheduler
from ramify.backend.radix.jobs import Scoring
from ramify.errors import BackendError
from ramify.ir.vectors import Vectors
from tests.backend.radix.harness import Sunk, engine_for, generation, greedy, plain, run
from tests.backend.radix.models import VOCAB
from tests.backend.radix.test_blocks import rope

IDS = tuple(np.random.default_rng(3).integers(3, VOCAB, 90).tolist())


@functools.cache
def reference(family: str, ids: tuple[int, ...]) -> list[float]:
    """Of each token but the first."""
    with torch.inference_mode():
        logits = plain(family)(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [float(logits[at, token]) for at, token in enumerate(ids[1:])]


def score(engine: Any, ids: tuple[int, ...], start: int | None, *more: tuple[int, ...]) -> Any:
    prompt = TokenPrompt(ids)
    request = ScoreRequest(prompt=prompt, continuations=more, prompt_from=start)
    job: Any = Scoring(request, Sunk())
    engine.submit(job)
    run(engine, check=True)
    (found,) = job.sink.items
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("fused", [False, True])
def test_prompts_are_scored_as_transformers_does(family: str, fused: bool) -> None:
    if fused and family != "llama":
        pytest.skip("not a family of the fused body")
    engine = engine_for(family, fused=fused, budget=33)
    found = score(engine, IDS, 1, (7, 8, 9), (), (7,))
    assert found.prompt == pytest.approx(reference(family, IDS), abs=2e-4)
    expected = reference(family, (*IDS, 7, 8, 9))[len(IDS) - 1 :]
    assert found.logprobs[0] == pytest.approx(expected, abs=2e-4)
    assert found.logprobs[1:] == ((), pytest.approx(expected[:1], abs=2e-4))
    assert found.usage.prompt_tokens == len(IDS) + 4
    assert found.usage.computed_tokens == len(IDS) + 4


def test_what_was_scored_is_not_computed_again() -> None:
    engine = engine_for("llama")
    first = score(engine, IDS[:60], 1)
    rows = engine.metrics.rows
    assert score(engine, IDS[:60], 1).prompt == first.prompt
    assert engine.metrics.rows == rows
    assert score(engine, IDS[:60], 20).usage.computed_tokens == 0
    longer = score(engine, IDS, 10)
    assert longer.prompt == pytest.approx(reference("llama", IDS)[9:], abs=2e-4)
    assert engine.metrics.rows - rows == 31  # the last one of the known, and the new ones
    engine.scheduler.cache.tree.clear()
    assert score(engine, IDS[:60], 1).prompt == first.prompt
    assert engine.metrics.rows == rows + 31 + 60


def test_only_the_part_that_is_asked_for_gives_logits() -> None:
    engine = engine_for("llama")
    job = generation(IDS[:50], 3)
    engine.submit(job)
    run(engine)
    rows = engine.metrics.rows
    found = score(engine, IDS, 50)
    assert found.prompt == pytest.approx(reference("llama", IDS)[49:], abs=2e-4)
    assert engine.metrics.rows - rows == 41
    assert found.usage.cached_tokens == 49


def test_logits_are_never_more_rows_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LOGITS", 16)
    engine = engine_for("llama")
    forward, most = engine.model.forward, 0

    def watched(step: Any) -> Any:
        nonlocal most
        most = max(most, len(step.wanted))
        return forward(step)

    engine.model.forward = watched  # type: ignore[method-assign]
    jobs: list[Any] = [
        Scoring(ScoreRequest(prompt=TokenPrompt((*IDS[:40], i, *IDS)), prompt_from=1), Sunk())
        for i in range(3)
    ]
    for job in jobs:
        engine.submit(job)
    run(engine, check=True)
    assert most == 16
    for i, job in enumerate(jobs):
        expected = reference("llama", (*IDS[:40], i, *IDS))
        assert job.sink.items[0].prompt == pytest.approx(expected, abs=2e-4)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_scores_hold_among_others_and_in_small_pools(data: st.DataObject) -> None:
    draw = data.draw
    engine = engine_for(
        "llama", slots=draw(st.sampled_from([110, 130, 400])), cache=draw(st.booleans()),
        budget=draw(st.integers(5, 60)), max_batch=draw(st.integers(1, 5)),
    )  # fmt: skip
    jobs: list[tuple[Any, tuple[int, ...], int]] = []
    for _ in range(draw(st.integers(1, 6))):
        ids = IDS[: draw(st.sampled_from([1, 2, 30, 31, 60, 90]))]
        if draw(st.booleans()):
            start = draw(st.integers(1, len(ids)))
            request = ScoreRequest(
                prompt=TokenPrompt(ids), prompt_from=start,
                continuations=draw(st.sampled_from([(), ((5, 6), (5, 7))])),
            )  # fmt: skip
            job: Any = Scoring(request, Sunk())
        else:
            start, job = 0, generation(ids, 6)
        engine.submit(job)
        jobs.append((job, ids, start))
        for _ in range(draw(st.integers(0, 3))):
            if engine.busy:
                engine.step()
                engine.check()
        if draw(st.integers(0, 5)) == 0:
            job, *_ = jobs.pop()
            engine.cancel(job)
            engine.check()
    run(engine, check=True)
    for job, ids, start in jobs:
        if not start:
            assert job.sink.ids == greedy("llama", ids, 6)
            continue
        (found,) = job.sink.items
        assert found.prompt == pytest.approx(reference("llama", ids)[start - 1 :], abs=2e-4)
        for tokens, values in zip(((5, 6), (5, 7)), found.logprobs, strict=False):
            expected = reference("llama", (*ids, *tokens))[len(ids) - 1 :]
            assert values == pytest.approx(expected, abs=2e-4)
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


def test_tokens_behind_parallel_blocks_are_scored() -> None:
    blocks = (BlockSpan(10, 20, 0), BlockSpan(20, 35, 0))
    prompt = TokenPrompt(IDS[:50], blocks)
    engine = engine_for("llama")
    engine.model.rope = rope("llama")
    own: Any = Scoring(ScoreRequest(prompt=prompt, prompt_from=41), Sunk())
    more: Any = Scoring(
        ScoreRequest(prompt=TokenPrompt(IDS[:40], blocks), continuations=(IDS[40:50],)), Sunk()
    )
    for job in (own, more):
        engine.submit(job)
    run(engine, check=True)
    assert own.sink.items[0].prompt == pytest.approx(more.sink.items[0].logprobs[0][1:], abs=1e-4)


def test_what_has_no_score_is_refused() -> None:
    for start in (0, 4):
        with pytest.raises(BackendError, match="prompt_from"):
            ScoreRequest(prompt=TokenPrompt((5, 6, 7)), prompt_from=start)
    soft = TokenPrompt((5, 6, 7), vectors=(VectorSpan(1, Vectors.of([[0.0]])),))
    with pytest.raises(BackendError, match="vectors"):
        ScoreRequest(prompt=soft, prompt_from=1)
    assert ScoreRequest(prompt=soft, prompt_from=2).prompt_from == 2
