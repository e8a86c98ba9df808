"""Forks inside the engine against stop-and-new-requests, on a real model in float32."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramify.backend.collect import Collected, collect
from ramify.backend.contract import BlockSpan, ForkRule, Request, TokenPrompt
from ramify.backend.fork_lowering import generate_forking
from ramify.backend.radix import RadixBackend
from ramify.errors import BackendDiedError, BackendError
from ramify.ir.sampling import Sampling
from ramify.runtime import run_sync
from tests.backend.radix.harness import engine_for, generation, greedy, run
from tests.backend.radix.models import tiny
from tests.backend.test_forks import check, fake, tree

PROMPT = tuple(range(5, 45))


def ask(rule: ForkRule | None, prompt: tuple[int, ...] = PROMPT, **options: Any) -> Request:
    sampling = Sampling.of(**{"ignore_end": True, "max_tokens": 24, **options})
    return Request(prompt=TokenPrompt(prompt), sampling=sampling, fork=rule, label="p/n")


class Lowered:
    """A backend that hides that it can fork."""

    def __init__(self, backend: RadixBackend) -> None:
        self._backend = backend
        self.capabilities = fake(native=False).capabilities
        self.profile, self.generate = backend.profile, backend.generate


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, RadixBackend]]:
    found = {
        "naive": RadixBackend.open(tiny("llama"), threads=1, cache=False, pool_tokens=4000),
        "full": RadixBackend.open(tiny("llama"), threads=1, pool_tokens=4000),
        "evicting": RadixBackend.open(tiny("llama"), threads=1, pool_tokens=140, token_budget=9),
    }
    yield found
    for backend in found.values():
        run_sync(backend.close())


async def idle(backend: RadixBackend) -> None:
    """Nothing is held by anybody."""
    await backend.clear_cache()
    now = await backend.snapshot()
    assert now.free == now.slots and now.running == now.waiting == 0


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_engine_forks_as_the_lowering_does(
    backends: dict[str, RadixBackend], data: st.DataObject
) -> None:
    draw = data.draw
    prompt = (*PROMPT, draw(st.integers(3, 150)))
    likely = st.sampled_from(sorted(set(greedy("llama", prompt, 24))))
    fork, child = draw(likely), draw(st.integers(3, 159))
    if fork == child:
        child = 1 + child % 100
    rule = ForkRule(
        fork=fork, child=child, max_depth=draw(st.integers(1, 3)),
        max_branches=draw(st.integers(1, 3)), keep=draw(st.booleans()),
    )  # fmt: skip
    request = ask(
        rule, prompt, max_tokens=draw(st.integers(1, 28)),
        temperature=draw(st.sampled_from([0.0, 0.0, 0.8])), seed=draw(st.integers(0, 9)),
        min_tokens=draw(st.sampled_from([0, 0, 1])), logprobs=draw(st.sampled_from([0, 0, 2])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.0, 0.5])),
        repetition_penalty=draw(st.sampled_from([1.0, 1.2])),
        stop=draw(st.sampled_from([(), ("e", "th")])), ignore_end=draw(st.booleans()),
    )  # fmt: skip
    blocks = draw(st.sampled_from([(), (), (BlockSpan(5, 15, 0), BlockSpan(15, 25, 0))]))
    request = replace(request, prompt=TokenPrompt(prompt, blocks))

    async def grow(backend: Any, times: int = 1) -> list[Collected]:
        asked = (collect(generate_forking(backend, request)) for _ in range(times))
        return await asyncio.gather(*asked)

    (expected,) = run_sync(grow(Lowered(backends["naive"])))
    check(expected, request, rule)
    for name, times in (("naive", 1), ("full", 1), ("evicting", 3)):
        for found in run_sync(grow(backends[name], times)):
            assert rounded(found) == rounded(expected), name
        if name != "full":
            run_sync(idle(backends[name]))


def rounded(done: Collected) -> list[Any]:
    """The tree, log-probabilities to four digits."""
    return [
        (*rest, [(p.id, round(p.logprob, 3)) for p in logprobs], tokens)
        for *rest, logprobs, tokens in tree(done)
    ]


def forking(n: int = 40, **rule: Any) -> Any:
    """An engine job that forks three times."""
    found = ForkRule(fork=18, child=9, **rule)
    return generation(PROMPT, n, fork=found, temperature=0.7, seed=1)


@pytest.mark.parametrize("keep", [True, False])
def test_a_finished_child_is_freed_at_once(keep: bool) -> None:
    engine = engine_for("llama")
    job = forking(keep=keep)
    engine.submit(job)
    run(engine, check=True)
    kept = engine.scheduler.cache.slots.used
    main = sum(len(d.ids) for d in job.sink.items if not d.branch.path)
    assert engine.metrics.forks > 1
    assert (kept > len(PROMPT) + main) == keep
    assert engine.metrics.peak_live <= engine.metrics.peak_unfreed
    assert engine.metrics.finished == 1
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


def test_freeing_early_lowers_the_peak() -> None:
    engine = engine_for("llama", max_batch=1)  # one branch after another
    engine.submit(forking(max_depth=1))
    run(engine)
    assert engine.metrics.peak_live < engine.metrics.peak_unfreed


@pytest.mark.parametrize("steps", range(3, 24, 3))
@pytest.mark.parametrize("slots", [2000, 90])
def test_cancelling_a_tree_frees_everything(steps: int, slots: int) -> None:
    engine = engine_for("llama", slots=slots, budget=16)
    job = forking()
    engine.submit(job)
    for _ in range(steps):
        if engine.busy:
            engine.step()
            engine.check()
    engine.cancel(job)
    engine.check()
    assert not engine.busy
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


async def test_a_broken_branch_ends_its_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = RadixBackend.open(tiny("llama"), threads=1, pool_tokens=600)
    model = backend._worker._engine.model
    forward = model.forward
    rule = ForkRule(fork=greedy("llama", PROMPT, 6)[3], child=9)

    def broken(step: Any) -> Any:
        logits = forward(step).clone()
        logits[step.tokens[step.wanted] == rule.child] = float("nan")  # in the first child
        return logits

    monkeypatch.setattr(model, "forward", broken)
    other = (*PROMPT, 100)
    bad, good = await asyncio.gather(
        collect(backend.generate(ask(rule))),
        collect(backend.generate(ask(None, other))),
        return_exceptions=True,
    )
    assert isinstance(bad, BackendError) and "p/n" in str(bad) and "finite" in str(bad)
    assert not isinstance(good, BaseException) and good.ids == greedy("llama", other, 24)
    await idle(backend)
    await backend.close()


async def test_a_thread_that_dies_fails_a_tree_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = RadixBackend.open(tiny("llama"), threads=1, pool_tokens=600)
    model = backend._worker._engine.model
    forward = model.forward
    rule = ForkRule(fork=greedy("llama", PROMPT, 6)[3], child=9)

    def dies(step: Any) -> Any:
        if len(step.spans) > 1:
            raise RuntimeError("the machine is on fire")
        return forward(step)

    monkeypatch.setattr(model, "forward", dies)
    seen = []
    with pytest.raises(BackendDiedError, match="on fire"):
        async for delta in backend.generate(ask(rule)):
            seen.append(delta.branch.path)
    assert set(seen) <= {(), (0,)}
