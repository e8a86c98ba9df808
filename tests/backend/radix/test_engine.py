"""Tokens of the whole engine against transformers' generate."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.contract import ScoreRequest, TokenPrompt
from ramify.backend.radix.jobs import Generation, Scoring, Warming
from tests.backend.radix.harness import Fused, Sunk, engine_for, generation, greedy, run
from tests.backend.radix.models import FAMILIES, FEW, VOCAB

FUSED = ("llama", "mistral", "qwen2", "qwen3")
HOW: tuple[Fused, ...] = (True, "native")


def prompts(seed: int, count: int = 8) -> list[tuple[int, ...]]:
    """Prompts that share: a trunk of 50, two limbs, and strangers; one is a prefix of another."""
    rng = np.random.default_rng(seed)

    def draw(size: int) -> list[int]:
        return rng.integers(3, VOCAB, size).tolist()

    trunk, limbs = draw(50), [draw(13), draw(9)]
    found = [trunk, trunk + limbs[0]]
    while len(found) < count:
        kind = len(found) % 4
        found.append(draw(20) if kind == 3 else trunk + limbs[kind % 2] + draw(1 + kind * 3))
    return [tuple(p) for p in found]


def answers(engine, asked, *, n=12, order=0, **options):  # type: ignore[no-untyped-def]
    """All prompts, arriving in random order while others run; the answers in order."""
    rnd = random.Random(order)
    jobs = {i: generation(p, n, priority=rnd.random(), **options) for i, p in enumerate(asked)}
    arrivals = list(jobs)
    rnd.shuffle(arrivals)
    for i in arrivals:
        engine.submit(jobs[i])
        for _ in range(rnd.choice((0, 0, 1, 3))):
            engine.step()
            engine.check()
    run(engine, check=True)
    return [jobs[i].sink.ids for i in range(len(asked))]


@pytest.mark.parametrize(
    ("family", "fused", "cache"),
    [
        *((f, False, True) for f in FAMILIES),
        *((f, False, False) for f in FEW),
        *((f, how, cache) for f in FUSED for how in HOW for cache in (True, False)),
    ],
)
def test_greedy_answers_are_those_of_generate(family: str, fused: Fused, cache: bool) -> None:
    asked = prompts(1)
    engine = engine_for(family, cache=cache, fused=fused, budget=37, max_batch=6)
    assert answers(engine, asked) == [greedy(family, p, 12) for p in asked]
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


@pytest.mark.parametrize(("family", "seed"), [("llama", 0), ("llama", 1), ("gemma2", 2)])
def test_a_small_pool_evicts_and_preempts_and_changes_nothing(family: str, seed: int) -> None:
    asked = prompts(seed)
    engine = engine_for(family, slots=110, budget=random.Random(seed).choice((7, 33, 64)))
    assert answers(engine, asked, n=40, order=seed) == [greedy(family, p, 40) for p in asked]
    assert engine.scheduler.cache.tree.evicted > 0
    assert engine.scheduler.preempted > 0


def test_a_second_round_finds_everything_in_the_cache() -> None:
    asked = prompts(2)
    engine = engine_for("qwen2")
    first = answers(engine, asked)
    rows = engine.metrics.rows
    assert answers(engine, asked, order=1) == first
    assert engine.metrics.rows - rows == 12 * len(asked)


def test_what_was_generated_is_found_when_the_prompt_goes_on() -> None:
    engine = engine_for("llama")
    ids = prompts(5)[0]
    (answer,) = answers(engine, [ids])
    job = generation((*ids, *answer, 7, 8), 5)
    engine.submit(job)
    run(engine)
    assert job.sink.ids == greedy("llama", (*ids, *answer, 7, 8), 5)
    assert job.sink.items[-1].usage.cached_tokens == len(ids) + len(answer) - 1


def test_salts_share_nothing() -> None:
    engine = engine_for("llama")
    ids = prompts(6)[1]
    for salt in ("a", "b", "a"):
        job = generation(ids, 3, salt=salt)
        engine.submit(job)
        run(engine, check=True)
        cached = job.sink.items[-1].usage.cached_tokens
        assert cached == (0 if salt == "b" or engine.metrics.finished == 1 else len(ids) - 1)


def test_siblings_in_flight_compute_their_prompt_once() -> None:
    engine = engine_for("llama", budget=512)
    ids = prompts(7)[0]
    jobs = [generation((*ids, 100 + i), 2) for i in range(8)]
    for job in jobs:
        engine.submit(job)
    engine.step()
    assert engine.metrics.rows == len(ids) + 8  # the followers go along in the leader's own step
    run(engine)
    assert [j.sink.ids for j in jobs] == [greedy("llama", (*ids, 100 + i), 2) for i in range(8)]
    cached = [j.sink.items[-1].usage.cached_tokens for j in jobs]
    assert cached == [0] + [len(ids)] * 7


def test_a_follower_goes_on_where_a_cancelled_leader_stopped() -> None:
    engine = engine_for("llama", budget=16, max_batch=4)
    ids = prompts(8)[0]
    leader, follower = generation((*ids, 5), 4), generation((*ids, 6), 4)
    engine.submit(leader)
    engine.submit(follower)
    engine.step()
    engine.cancel(leader)
    engine.check()
    run(engine, check=True)
    assert leader.sink.items == []
    assert follower.sink.ids == greedy("llama", (*ids, 6), 4)
    assert follower.sink.items[-1].usage.cached_tokens == 16


@pytest.mark.parametrize("steps", range(8))
def test_cancelling_at_any_step_frees_everything(steps: int) -> None:
    engine = engine_for("llama", budget=16, max_batch=4)
    jobs = [generation(p, 6) for p in prompts(9, 5)]
    for job in jobs:
        engine.submit(job)
    for _ in range(steps):
        engine.step()
    for job in jobs:
        engine.cancel(job)
        engine.check()
    assert not engine.busy
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_happens_the_answers_are_those_of_generate(data: st.DataObject) -> None:
    """Random arrivals, cancellations, pools, budgets; scores and warm prefixes among them."""
    draw = data.draw
    engine = engine_for(
        "llama", slots=draw(st.integers(90, 300)), cache=draw(st.booleans()),
        fused=draw(st.sampled_from([True, "native"])),
        budget=draw(st.integers(1, 60)), max_batch=draw(st.integers(1, 6)),
        patience=draw(st.sampled_from([0, 20, 1000])),
    )  # fmt: skip
    asked, live = prompts(draw(st.integers(0, 3))), []
    for _ in range(draw(st.integers(1, 10))):
        ids, n = draw(st.sampled_from(asked)), draw(st.integers(1, 12))
        kind = draw(st.sampled_from(["generate"] * 4 + ["score", "warm"]))
        priority = draw(st.sampled_from([0.0, 1.0]))
        job = Warming(TokenPrompt(ids), "", priority, Sunk())
        if kind == "generate":
            job = generation(ids, n, priority=priority)
        elif kind == "score":
            tokens = tuple(greedy("llama", ids, 12)[:n])
            prompt = TokenPrompt(ids)
            job = Scoring(ScoreRequest(prompt=prompt, continuations=(tokens, (7, 8))), Sunk())
        engine.submit(job)
        live.append((job, ids, n))
        for _ in range(draw(st.integers(0, 4))):
            engine.step()
            engine.check()
        if draw(st.integers(0, 4)) == 0:
            job, *_ = live.pop(draw(st.integers(0, len(live) - 1)))
            engine.cancel(job)
            engine.check()
    run(engine)
    for job, ids, n in live:
        if isinstance(job, Generation):
            assert job.sink.ids == greedy("llama", ids, n)
        elif isinstance(job, Scoring):
            assert [len(found) for found in job.sink.items[-1].logprobs] == [n, 2]
    engine.check()
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


def test_seeded_sampling_does_not_depend_on_the_company() -> None:
    options = {"temperature": 1.3, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "seed": 11}
    asked = prompts(10)
    alone = []
    for p in asked:
        alone += answers(engine_for("llama", cache=False), [p], n=20, **options)
    assert len({tuple(a) for a in alone}) == len(alone)
    together = answers(engine_for("llama", slots=150, budget=19), asked, n=20, order=4, **options)
    assert together == alone
