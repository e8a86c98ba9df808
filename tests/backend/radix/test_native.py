"""The compiled body against the one of torch's operators: logits, KV, masks, faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix import setup
from ramify.backend.radix.attention.tensors import StepLayout
from ramify.backend.radix.fused import FusedBody
from ramify.backend.radix.layout import Span, build_layout
from ramify.backend.radix.model import Body, LanguageModel, Step
from ramify.backend.radix.native import build
from ramify.backend.radix.native.body import NativeBody, can_run
from ramify.backend.radix.native.plan import Plan
from ramify.backend.radix.options import RadixOptions
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.sampler import Largest
from tests.backend.radix.harness import CPU, need_compiler
from tests.backend.radix.models import tiny

PREFIX, SLOTS = 700, 2000
BRANCHES = ((700, 1), (700, 1), (450, 5), (640, 40), (700, 17), (3, 1))  # tokens shared, own rows
PARTS = [  # of head size, heads, KV heads, window
    pytest.param(64, 6, 2, None, id="three heads on one"),
    pytest.param(32, 4, 4, None, id="a head each"),
    pytest.param(64, 4, 1, 90, id="a window"),
]


def model_of(size: int, heads: int, kv_heads: int, window: int | None, dtype: torch.dtype) -> Any:
    """Wide enough for every kernel: tiles need 32 numbers, chunks of keys need 512 keys."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=331, hidden_size=96, intermediate_size=160, num_hidden_layers=2, head_dim=size,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=1024,
        sliding_window=window, initializer_range=0.1,
    )  # fmt: skip
    return MistralForCausalLM(config).to(dtype).eval().requires_grad_(False)


def steps() -> list[Step]:
    """A prefix in two chunks, then branches that share some of it."""
    rng = np.random.default_rng(5)
    prefix, slots = rng.integers(0, 331, PREFIX), rng.permutation(SLOTS)
    trunk, rest = slots[:PREFIX], slots[PREFIX:]
    found = []
    for start, stop in ((0, 300), (300, PREFIX)):
        at = np.arange(start, stop)
        found.append(Step(prefix[at], at, trunk[at], at[::97] - start, [Span(trunk, start, stop)]))
    spans = []
    for shared, rows in BRANCHES:
        spans.append(Span(np.concatenate((trunk[:shared], rest[:rows])), shared, shared + rows))
        rest = rest[rows:]
    at = [np.arange(span.start, span.stop) for span in spans]
    total = sum(map(len, spans))
    written = [span.slots[span.start : span.stop] for span in spans]
    tokens = rng.integers(0, 331, total)
    wanted = np.arange(0, total, 3)
    found.append(Step(tokens, np.concatenate(at), np.concatenate(written), wanted, spans))
    return found


def run(body: Body) -> tuple[torch.Tensor, KVPool]:
    pool = KVPool(SLOTS, CPU)
    model = LanguageModel(body, pool, context=1024, pays=64)
    return torch.cat([model.forward(step).float() for step in steps()]), pool


@pytest.mark.parametrize(("size", "heads", "kv_heads", "window"), PARTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_bodies_agree(
    size: int, heads: int, kv_heads: int, window: int | None, dtype: torch.dtype
) -> None:
    need_compiler()
    kind = (size, heads, kv_heads, window)
    exact, pool = run(FusedBody(model_of(*kind, torch.float32), context=1024))
    twin, _ = run(FusedBody(model_of(*kind, dtype), context=1024))
    model = model_of(*kind, dtype)
    assert can_run(model)
    found, own = run(NativeBody(model, context=1024))
    if dtype == torch.float32:
        assert (found - exact).abs().max() < 1e-5
        written = np.unique(np.concatenate([step.slots for step in steps()]))
        for layer in range(2):
            shape = (kv_heads, size)
            for mine, other in zip(
                own.layer(layer, shape, shape, dtype), pool.layer(layer, shape, shape, dtype),
                strict=True,
            ):  # fmt: skip
                assert (mine[written] - other[written]).abs().max() < 1e-5
    else:  # both round, each in its own places: ours must not be further from the truth
        assert (found - exact).norm() < 1.1 * (twin - exact).norm()


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def prepared(native: bool, dtype: torch.dtype) -> LanguageModel:
    """A model whose pool has the trunk."""
    kind = NativeBody if native else FusedBody
    model = model_of(64, 6, 2, None, dtype)
    body = kind(model, context=1024)
    made = LanguageModel(body, KVPool(2 * SLOTS, CPU), context=1024, pays=64)
    for step in steps()[:2]:
        made.forward(step)
    return made


def branches_of(known: list[int], rows: list[int], scattered: bool) -> Step:
    """Branches that share so many tokens of the trunk and have so many rows of their own."""
    rng = np.random.default_rng(sum(known))
    trunk, free = steps()[1].spans[0].slots, np.arange(SLOTS, 2 * SLOTS)
    free = rng.permutation(free) if scattered else free
    spans = []
    for shared, own in zip(known, rows, strict=True):
        spans.append(Span(np.concatenate((trunk[:shared], free[:own])), shared, shared + own))
        free = free[own:]
    return Step(
        rng.integers(0, 331, sum(rows)),
        np.concatenate([np.arange(span.start, span.stop) for span in spans]),
        np.concatenate([span.slots[span.start : span.stop] for span in spans]),
        np.arange(sum(rows)), spans,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    branches=st.lists(
        st.tuples(st.sampled_from((1, 63, 300, 511, PREFIX)), st.sampled_from((1, 1, 1, 2, 3, 40))),
        min_size=1, max_size=24,
    ),
    scattered=st.booleans(), threads=st.integers(1, 3),
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_branches_on_any_number_of_threads(
    dtype: torch.dtype, branches: list[tuple[int, int]], scattered: bool, threads: int
) -> None:
    need_compiler()
    step = branches_of([b[0] for b in branches], [b[1] for b in branches], scattered)
    exact, twin, model = (
        prepared(False, torch.float32), prepared(False, dtype), prepared(True, dtype)
    )  # fmt: skip
    truth, other = exact.forward(step), twin.forward(step).float()
    with on_threads(threads):
        found = model.forward(step).float()
        assert model.largest(step) == Largest.of(found)
    if dtype == torch.float32:
        assert (found - truth).abs().max() < 1e-5
    else:
        assert (found - truth).norm() < 1.3 * (other - truth).norm()


@pytest.mark.parametrize("by", [40, 400])
def test_scores_may_grow_far_beyond_those_of_the_first_keys(by: int) -> None:
    """Weights are relative to scores seen early; where that would overflow they are made again."""
    need_compiler()
    step = branches_of([PREFIX, PREFIX, PREFIX, 640, PREFIX], [1, 1, 40, 3, 1], False)
    found = []
    for native, dtype in ((False, torch.float32), (False, torch.bfloat16), (True, torch.bfloat16)):
        model = prepared.__wrapped__(native, dtype)
        with torch.inference_mode():
            keys, _ = model.pool.layer(0, (2, 64), (2, 64), dtype)
            keys[torch.from_numpy(steps()[1].spans[0].slots[300:])] *= by
        found.append(model.forward(step).float())
    truth, twin, mine = found
    assert (mine - truth).norm() < 1.3 * (twin - truth).norm()


def test_a_step_that_wants_no_logits_still_writes_all_kv() -> None:
    need_compiler()
    body = NativeBody(model_of(32, 2, 1, None, torch.float32), context=1024)
    first = steps()[0]
    pools = [KVPool(SLOTS, CPU) for _ in range(2)]
    for pool, wanted in zip(pools, (first.wanted, first.wanted[:0]), strict=True):
        model = LanguageModel(body, pool, context=1024)
        first.wanted = wanted
        assert model.forward(first).shape == (len(wanted), 331)
    held = [pool.layer(1, (1, 32), (1, 32), torch.float32) for pool in pools]
    for one, other in zip(*held, strict=True):
        assert torch.equal(one[first.slots], other[first.slots])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("part", [0, 1])
def test_no_number_in_one_branch_stays_there(dtype: torch.dtype, part: int) -> None:
    """A broken key or value in a slot that the last branch alone reads."""
    need_compiler()
    pool, broken = KVPool(SLOTS + 1, CPU), SLOTS
    body = NativeBody(model_of(64, 6, 2, None, dtype), context=1024)
    model = LanguageModel(body, pool, context=1024, pays=64)
    first, second, branches = steps()
    for step in (first, second):
        model.forward(step)
    with torch.inference_mode():
        pool.layer(0, (2, 64), (2, 64), dtype)[part][broken] = float("nan")
    last = branches.spans[-1]
    slots = np.concatenate(([broken], last.slots[1:]))
    branches.spans[-1] = Span(slots, last.start, last.stop)
    branches.wanted = np.arange(len(branches.tokens))
    found = model.forward(branches)
    assert torch.isnan(found[-1]).all()
    assert not torch.isnan(found[:-1]).any()
    assert model.largest(branches).finite == [True] * (len(found) - 1) + [False]


def test_the_plan_has_every_row_in_one_own_problem() -> None:
    for step in steps():
        layout = build_layout(step.spans, pays=64)
        plan = Plan.of(StepLayout(layout, CPU).layout)
        plan.check()
        owned = [
            plan.rows[a:b]
            for a, b, own in zip(plan.row_from, plan.row_from[1:], plan.own, strict=False)
            if own
        ]
        assert sorted(np.concatenate(owned)) == list(range(len(step.tokens)))


def test_without_a_compiler_torch_does_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    build.library.cache_clear()
    try:
        with caplog.at_level("INFO"):
            parts = setup.assemble(tiny("llama"), RadixOptions(pool_tokens=64))
    finally:
        build.library.cache_clear()
    assert isinstance(parts.engine.model.body, FusedBody)
    assert "no C++ compiler (no-such-compiler)" in caplog.text


def test_source_that_does_not_compile_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    need_compiler()
    (tmp_path / "body.cpp").write_text("this is no C++;")
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.library.cache_clear()
    try:
        with pytest.raises(build.NoLibraryError, match=r"cannot build it: .*error"):
            build.library()
    finally:
        build.library.cache_clear()


def test_the_option_turns_it_off() -> None:
    need_compiler()
    for native, kind in ((True, NativeBody), (False, FusedBody)):
        parts = setup.assemble(tiny("llama"), RadixOptions(pool_tokens=64, native=native))
        assert isinstance(parts.engine.model.body, kind)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), min_size=1, max_size=5))
def test_the_plan_reads_what_the_layout_reads(spans: list[tuple[int, int]]) -> None:
    """Every pair of a row and a slot once, however groups become problems."""
    free = iter(np.random.default_rng(3).permutation(1000))
    trunk = np.array([next(free) for _ in range(90)])
    made = []
    for start, rows in spans:
        own = np.array([next(free) for _ in range(rows)])
        made.append(Span(np.concatenate((trunk[:start], own)), start, start + rows))
    plan = Plan.of(build_layout(made, pays=64))
    plan.check()
    seen = np.zeros((sum(rows for _, rows in spans), 1000), np.int64)
    for i, own in enumerate(plan.own):
        r, k = slice(*plan.row_from[i : i + 2]), slice(*plan.key_from[i : i + 2])
        sees = (plan.key_at[k] <= plan.row_at[r][:, None]) | (not own)
        np.add.at(seen, (plan.rows[r][:, None], plan.keys[k]), sees)
    first = 0
    for span in made:
        for row in range(len(span)):
            truth = np.zeros(1000, np.int64)
            truth[span.slots[: span.start + row + 1]] = 1
            assert (seen[first + row] == truth).all()
        first += len(span)
