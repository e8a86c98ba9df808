"""Answers with drafts are answers without them, whatever is asked."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramify.backend.collect import collect
from ramify.backend.contract import ForkRule, Request, TokenPrompt
from ramify.backend.radix import RadixBackend
from ramify.backend.radix.draft_cost import DraftPolicy, Record, StepCost
from ramify.backend.radix.draft_model import DraftModel
from ramify.backend.radix.ngrams import LONGEST, Family, Ngrams
from ramify.backend.radix.sequence import Sequence
from ramify.demo.world import model_path
from ramify.errors import BackendError, ModelLoadError
from ramify.ir.sampling import Constraint, Sampling
from ramify.runtime import run_sync
from tests.backend.radix.harness import engine_for, generation, greedy, run
from tests.backend.radix.models import VOCAB, tiny

IDS = tuple(np.random.default_rng(8).integers(3, VOCAB, 50).tolist())
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.9, "seed": 4},
    {"temperature": 1.4, "seed": 5, "top_k": 9, "min_p": 0.02, "logprobs": 2},
    {"frequency_penalty": 0.4, "repetition_penalty": 1.3, "temperature": 0.6, "seed": 1},
    {"logprobs": 1, "presence_penalty": 0.5},
    {"fork": ForkRule(fork=18, child=9, max_depth=2), "temperature": 0.7, "seed": 1},
)


def said(job: Any) -> dict[Any, Any]:
    """Per branch the tokens, and what goes with them."""
    found: dict[Any, Any] = {}
    for delta in job.sink.items:
        ids, logprobs, end = found.setdefault(delta.branch, ([], [], []))
        ids += delta.ids
        logprobs += [(p.id, round(p.logprob, 3)) for p in delta.logprobs]
        if delta.finish:
            end.append((delta.finish, delta.stop_id, delta.usage.output_tokens))
    return found


@functools.cache
def alone(tail: int, n: int, which: int) -> dict[Any, Any]:
    job = generation((*IDS, tail), n, **OPTIONS[which])
    engine = engine_for("llama", cache=False)
    engine.submit(job)
    run(engine)
    return said(job)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_drafts_change_nothing(data: st.DataObject) -> None:
    draw = data.draw
    engine = engine_for(
        "llama", slots=draw(st.sampled_from([150, 200, 1500])), cache=draw(st.booleans()),
        draft=draw(st.integers(1, 6)), budget=draw(st.integers(3, 60)), fused=draw(st.booleans()),
        max_batch=draw(st.integers(1, 6)),
    )  # fmt: skip
    live = []
    for _ in range(draw(st.integers(2, 8))):
        tail, n = draw(st.sampled_from([5, 6])), draw(st.integers(1, 24))
        which = draw(st.integers(0, len(OPTIONS) - 1))
        job = generation((*IDS, tail), n, **OPTIONS[which])
        engine.submit(job)
        live.append((job, tail, n, which))
        for _ in range(draw(st.integers(0, 12))):
            if engine.busy:
                engine.step()
                engine.check()
        if draw(st.integers(0, 5)) == 0:
            job, *_ = live.pop()
            engine.cancel(job)
            engine.check()
    run(engine, check=True)
    for job, *key in live:
        assert said(job) == alone(*key)
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


def test_a_sibling_is_guessed_from_what_was_said_before() -> None:
    for options in OPTIONS[:2]:
        engine = engine_for("llama", draft=4)
        for _ in range(2):
            job = generation((*IDS, 5), 40, **options)
            engine.submit(job)
            before = engine.metrics.steps
            run(engine)
        assert engine.metrics.steps - before < 14
        assert engine.metrics.accepted > 28
    stranger = generation((*IDS, 5), 40, salt="other")
    engine.submit(stranger)
    before = engine.metrics.steps
    run(engine)
    assert engine.metrics.steps - before > 35  # other salts see nothing of it


@pytest.fixture(scope="module")
def backends() -> Iterator[tuple[RadixBackend, RadixBackend]]:
    off = RadixBackend.open(tiny("llama"), threads=1, draft="off", pool_tokens=2000)
    on = RadixBackend.open(tiny("llama"), threads=1, draft=5, pool_tokens=2000)
    yield off, on
    for backend in (off, on):
        run_sync(backend.close())


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_texts_with_stops_and_constraints_are_the_same(
    backends: tuple[RadixBackend, RadixBackend], data: st.DataObject
) -> None:
    draw = data.draw
    constraint = draw(
        st.sampled_from(
            [
                None,
                None,
                Constraint("regex", "(the river ran past a mill[.]? ?){1,6}"),
                Constraint("schema", '{"type":"array","items":{"enum":["river","boats"]}}'),
            ]
        )
    )
    sampling = Sampling.of(
        max_tokens=draw(st.integers(1, 40)), temperature=draw(st.sampled_from([0.0, 1.0])),
        seed=draw(st.integers(0, 3)), ignore_end=True, logprobs=draw(st.sampled_from([0, 2])),
        stop=draw(st.sampled_from([(), ("e",), ("river", "t a", "i n")])),
        min_tokens=draw(st.sampled_from([0, 1])),
    )  # fmt: skip
    ids = (*IDS, draw(st.integers(3, 8)))
    request = Request(prompt=TokenPrompt(ids), sampling=sampling, constraint=constraint)

    async def answers(backend: RadixBackend) -> list[Any]:
        found = []
        for _ in range(2):  # the second time it is known what will be said
            done = await collect(backend.generate(request))
            values = [(p.id, round(p.logprob, 3)) for p in done.logprobs]
            found.append((done.ids, done.text, done.finish, done.usage.output_tokens, values))
        return found

    expected, got = (run_sync(answers(backend)) for backend in backends)
    assert got == expected
    assert got[0] == got[1]


def test_forced_text_is_drafted(backends: tuple[RadixBackend, RadixBackend]) -> None:
    async def steps(backend: RadixBackend) -> int:
        before = (await backend.snapshot()).steps
        forced = Constraint("regex", "the river ran past a mill and an old man sat there")
        sampling = Sampling(max_tokens=80)
        request = Request(prompt=TokenPrompt(IDS[:9]), sampling=sampling, constraint=forced)
        assert (await collect(backend.generate(request))).finish == "stop"
        return (await backend.snapshot()).steps - before

    off, on = (run_sync(steps(backend)) for backend in backends)
    assert on < off / 2


@pytest.mark.parametrize("row", [1, 3])
def test_broken_logits_count_only_where_an_answer_gets_to(row: int) -> None:
    engine = engine_for("llama", draft=3)
    first = generation((*IDS, 5), 20)
    engine.submit(first)
    run(engine)
    forward = engine.model.forward

    def broken(step: Any) -> Any:
        logits = forward(step).clone()
        if len(logits) > row:
            logits[row] = float("nan")
        return logits

    engine.model.forward = broken  # type: ignore[method-assign]
    job: Any = generation((*IDS, 5), 20)
    engine.submit(job)
    run(engine)
    assert job.sink.error is not None and engine.metrics.failed == 1
    said_before = [i for item in job.sink.items[:-1] for i in item.ids]
    assert said_before == greedy("llama", (*IDS, 5), 20)[: len(said_before)]
    assert len(said_before) >= row
    other: Any = generation((*IDS, 7), 6)  # guesses that are wrong are not looked behind
    engine.model.forward = forward  # type: ignore[method-assign]
    engine.submit(other)
    run(engine, check=True)
    assert other.sink.ids == greedy("llama", (*IDS, 7), 6)


@given(data=st.data())
def test_lookups_find_what_a_search_finds(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 10**6)))
    family = Family()
    numbers = [family.begin() for _ in range(3)]
    texts = family.texts
    history: list[tuple[list[int], int]] = []  # pairs in order: text, end
    for _ in range(rng.randint(1, 12)):
        number = rng.choice(numbers)
        text = texts[number]
        old = len(text)
        family.add(number, [rng.randrange(3) for _ in range(rng.randint(1, 5))])
        history += [(text, end) for end in range(max(1, old), len(text))]
    for number, text in enumerate(texts):
        if len(text) < 2:
            continue
        found, length = family.find(number, 3)
        places = [p for p in history if p[0][p[1] - 1 : p[1] + 1] == text[-2:]][-8:]
        best: tuple[list[int], int] = ([], 0)
        for other, end in reversed(places):
            if end + 1 < len(other):
                sizes = range(2, min(LONGEST, end + 1, len(text)) + 1)
                same = max(k for k in sizes if other[end + 1 - k : end + 1] == text[-k:])
                if same > best[1]:
                    best = other[end + 1 : end + 4], same
        assert (found, length) == best


def test_members_of_a_family_are_read_once() -> None:
    class Asked:
        priority, salt, vectors = 0.0, "", {}  # type: ignore[var-annotated]

    def member(*ids: int) -> Sequence:
        tokens = np.array(ids, np.int64)
        return Sequence.of(Asked(), tokens, limit=100, prompt=len(ids), wanted=len(ids) - 1)

    ngrams = Ngrams()
    one, two = member(*range(40), 50, 51), member(*range(40), 60)
    assert ngrams.propose(one, 4) == ([], 0)
    two.append(20)
    two.append(21)
    assert ngrams.propose(two, 4) == ([22, 23, 24, 25], 2)
    family = next(iter(ngrams._families.values()))
    assert family.size == 42 + LONGEST + 3
    for token in (60, 20, 21):
        one.append(token)
    assert ngrams.propose(one, 2) == ([22, 23], 2)
    two.append(99)
    ngrams.forget(two)
    assert ngrams.propose(one, 2) == ([99], 3)
    assert ngrams.propose(member(*range(39, 0, -1), 20, 21), 2) == ([], 0)  # another family


def test_drafts_are_made_while_they_pay() -> None:
    policy, record = DraftPolicy(), Record()
    for rows in (1, 2, 4, 8, 16) * 20:
        policy.cost.observe(rows, 0.010 + 0.0005 * rows)
    assert policy.cost.slope == pytest.approx(0.0005, rel=0.05)
    for _ in range(50):
        policy.observe(record, 3, drafted=4, accepted=3)
    wide = policy.width(record, 3, answers=1, rows=1)
    crowded = policy.width(record, 3, answers=16, rows=16)
    assert policy.most > wide > crowded > 0
    for _ in range(60):
        policy.observe(record, 3, drafted=4, accepted=0)
    widths = [policy.width(record, 3, answers=16, rows=16) for _ in range(100)]
    assert widths.count(0) > 90 and 2 in widths  # off, but tried now and then,
    widths = [policy.width(record, 3, answers=16, rows=16) for _ in range(1000)]
    assert 1 < widths.count(2) < 6  # ever more rarely
    assert DraftPolicy(fixed=3).width(Record(), 3, answers=64, rows=640) == 3


def test_where_no_draft_can_pay_none_is_looked_for() -> None:
    policy = DraftPolicy()
    for rows in (1, 2, 4, 8, 16, 32) * 20:
        policy.cost.observe(rows, 0.0001 + 0.001 * rows)
    rests = [policy.rests(32) for _ in range(100)]
    assert rests.count(False) == 4 and not policy.rests(1)
    assert not DraftPolicy(fixed=2).rests(64)


def test_a_step_that_was_held_up_is_not_believed() -> None:
    cost = StepCost()
    for _ in range(30):
        cost.observe(4, 0.01)
    cost.observe(4, 30.0)
    assert cost.seconds(4) == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("small", ["same", "other"])
def test_a_model_drafts_and_changes_nothing(small: str) -> None:
    """The same weights guess everything right; others at least change nothing."""
    for which, options in enumerate(OPTIONS):
        engine = engine_for("llama", draft=3)
        family = "llama" if small == "same" else "qwen2"
        assert engine.drafter is not None
        engine.drafter._proposer = DraftModel(engine_for(family, slots=300))
        jobs = [generation((*IDS, tail), 24, **options) for tail in (5, 6)]
        for job in jobs:
            engine.submit(job)
        run(engine, check=True)
        assert [said(job) for job in jobs] == [alone(tail, 24, which) for tail in (5, 6)]
        if small == "same" and "frequency_penalty" not in options and "fork" not in options:
            assert engine.metrics.steps < 14
            assert engine.metrics.accepted > 0.5 * engine.metrics.drafted


def test_a_draft_model_must_speak_the_same_tokens() -> None:
    with pytest.raises(BackendError, match="draft"):
        RadixBackend.open(tiny("llama"), draft="off", draft_model=str(tiny("qwen2")))
    with pytest.raises(ModelLoadError, match="tokenizer"):
        RadixBackend.open(tiny("llama"), draft_model=str(model_path()))
    backend = RadixBackend.open(
        tiny("llama"), draft=4, draft_model=str(tiny("llama")), pool_tokens=300
    )
    sampling = Sampling(max_tokens=20, ignore_end=True)

    async def answer() -> Any:
        done = await collect(
            backend.generate(Request(prompt=TokenPrompt((*IDS, 5)), sampling=sampling))
        )
        now = await backend.snapshot()
        await backend.close()
        return done.ids, now.accepted

    ids, accepted = run_sync(answer())
    assert ids == greedy("llama", (*IDS, 5), 20) and accepted > 10
