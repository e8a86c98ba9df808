"""The whole engine in random order, with a real model: whatever happens in between, each answer is
the one that transformers gives, and every invariant holds after each operation."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ramify.backend.contract import BlockSpan, ForkRule, ScoreRequest, TokenPrompt
from ramify.backend.radix import saved
from ramify.backend.radix.jobs import Scoring, Warming
from tests.backend.radix.harness import Sunk, engine_for, generation, greedy, run
from tests.backend.radix.models import VOCAB
from tests.backend.radix.test_blocks import rope

TRUNK = tuple(np.random.default_rng(3).integers(3, VOCAB, 40).tolist())
SLOTS = 130
FORK = ForkRule(fork=18, child=9, max_depth=1)
SALTS = st.sampled_from(("", "other"))


@functools.cache
def former() -> tuple[Any, Any]:
    """What an engine before this one saved: tokens and their KV."""
    engine = engine_for("llama")
    engine.submit(Warming(TokenPrompt(TRUNK), "", 0.0, Sunk()))
    run(engine)
    tokens = np.array(TRUNK[:33])
    return tokens, saved.kept(engine, "", tokens)


class EngineMachine(RuleBasedStateMachine):
    """Answers of a trunk's branches, forks, joins, scores, cancels, preemption, eviction to a host
    tier, saved prefixes; drafts are on, and the pool holds about two answers."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine_for("llama", SLOTS, host=100, draft=2, budget=24, max_batch=4)
        self.engine.model.rope = rope("llama")
        self.asked: list[tuple[Any, tuple[int, ...], int]] = []
        self.files = [former()]

    def submit(self, job: Any) -> None:
        self.engine.submit(job)

    @rule(
        cut=st.integers(20, 40), tail=st.integers(3, 6), n=st.integers(1, 12), salt=SALTS,
        priority=st.integers(0, 2),
    )  # fmt: skip
    def ask(self, cut: int, tail: int, n: int, salt: str, priority: int) -> None:
        ids = (*TRUNK[:cut], tail)
        job = generation(ids, n, salt=salt, priority=float(priority))
        self.submit(job)
        self.asked.append((job, ids, n))

    @rule(cut=st.integers(5, 40))
    def fork(self, cut: int) -> None:
        self.submit(generation(TRUNK[:cut], 16, fork=FORK, temperature=1.0, seed=cut))

    @rule(cut=st.integers(5, 20), sizes=st.lists(st.integers(1, 10), min_size=2, max_size=3))
    def join(self, cut: int, sizes: list[int]) -> None:
        """A prompt that reads branches as parallel blocks."""
        ids, blocks = TRUNK[:cut], []
        for size in sizes:
            blocks.append(BlockSpan(len(ids), len(ids) + size, 0, repair=size % 2))
            ids = (*ids, *TRUNK[cut : cut + size])
        self.submit(generation((*ids, 7), 6, blocks=tuple(blocks)))

    @rule(cut=st.integers(5, 40), more=st.integers(1, 6))
    def score(self, cut: int, more: int) -> None:
        continuations = tuple((7, 8, 9)[:more] for more in range(1, more % 4 + 1))
        request = ScoreRequest(
            prompt=TokenPrompt(TRUNK[:cut]), continuations=continuations, prompt_from=cut - 3
        )
        self.submit(Scoring(request, Sunk()))

    @rule(cut=st.integers(5, 40), salt=SALTS)
    def warm(self, cut: int, salt: str) -> None:
        self.submit(Warming(TokenPrompt(TRUNK[:cut]), salt, 0.0, Sunk()))

    @rule(n=st.integers(1, 8))
    def step(self, n: int) -> None:
        for _ in range(n):
            if self.engine.busy:
                self.engine.step()
                self.engine.check()

    @rule(i=st.integers(0, 99))
    def cancel(self, i: int) -> None:
        jobs = list(self.engine.jobs)
        if jobs:
            job = jobs[i % len(jobs)]
            self.engine.cancel(job)
            self.asked = [each for each in self.asked if each[0] is not job]

    @rule(i=st.integers(0, 99))
    def preempt(self, i: int) -> None:
        running = self.engine.scheduler.running
        if running:
            self.engine.scheduler._preempt(running[i % len(running)])

    @rule(n=st.integers(1, 80))
    def evict(self, n: int) -> None:
        self.engine.scheduler.cache.tree.evict(n)

    @rule(cut=st.integers(3, 40), salt=SALTS)
    def save(self, cut: int, salt: str) -> None:
        tokens = np.array(TRUNK[:cut])
        layers = saved.kept(self.engine, salt, tokens)
        if layers is not None:
            assert all(len(tensor) == cut for pair in layers for tensor in pair)
            self.files.append((tokens, layers))

    @rule(i=st.integers(0, 99), salt=SALTS)
    def load(self, i: int, salt: str) -> None:
        tokens, layers = self.files[i % len(self.files)]
        if saved.adopt(self.engine, salt, tokens, layers):
            assert self.engine.scheduler.cache.kept(salt, tokens) is not None

    @invariant()
    def all_is_well(self) -> None:
        self.engine.check()

    def teardown(self) -> None:
        for _ in range(3000):
            if not self.engine.busy:
                break
            self.engine.step()
        self.engine.check()
        for job, ids, n in self.asked:
            assert job.sink.error is None and job.sink.ids == greedy("llama", ids, n)
        cache = self.engine.scheduler.cache
        cache.clear()
        assert cache.host is not None and cache.slots.used == cache.host.slots.used == 0
        self.engine.check()


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
