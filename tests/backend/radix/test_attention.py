"""Layout, kernels and merge against softmax attention row by row in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix import layout as layout_module
from ramify.backend.radix.attention import cpu, reference
from ramify.backend.radix.attention.attend import attend
from ramify.backend.radix.attention.tensors import StepLayout
from ramify.backend.radix.layout import WIDE, Span, build_layout, shared_runs
from ramify.backend.radix.rope import Rope, Rotation, Turns

CPU = torch.device("cpu")
SLOTS, HEADS, KV_HEADS, SIZE = 400, 4, 2, 8
FREQUENCIES = torch.tensor([1.0, 0.2, 0.03])  # the last two dimensions do not turn
ROPE = Rope((Rotation(FREQUENCIES),), (0,))


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """A random forest of sequences: each goes on from a prefix of an earlier one, or is new."""
    free = np.random.default_rng(draw(st.integers(0, 99))).permutation(SLOTS)
    if draw(st.booleans()):
        free = np.arange(SLOTS)
    at, made = 0, []
    for _ in range(draw(st.integers(1, 6))):
        past = np.empty(0, np.int64)
        if made and draw(st.booleans()):
            other = draw(st.sampled_from(made))
            past = other.slots[: draw(st.integers(0, other.stop))]
        rows = draw(st.sampled_from([1, 1, 1, 2, 5, WIDE, WIDE + 3]))
        own = draw(st.integers(0, 12))
        slots = np.concatenate((past, free[at : at + own + rows]))
        at += own + rows
        made.append(Span(slots, len(past) + own, len(slots)))
    return made


@st.composite
def shifted_spans(draw: st.DrawFn) -> list[Span]:
    """The same forest, some parts of whose pasts were computed elsewhere; who shares slots from
    the beginning shares their shifts, but not always."""
    made = draw(spans())
    cuts = sorted(draw(st.lists(st.integers(1, 60), min_size=1, max_size=4)))
    values = draw(st.lists(st.sampled_from([0, 3, 17, 120]), min_size=5, max_size=5))
    found = []
    for span in made:
        shift = np.zeros(span.stop, np.int64)
        for cut, value in zip(cuts, values[draw(st.sampled_from([0, 0, 1])) :], strict=False):
            shift[cut : span.start] = value
        found.append(Span(span.slots, span.start, span.stop, shift))
    return found


def oracle(query, keys, values, made, *, scale, window, softcap, sinks):  # type: ignore[no-untyped-def]
    """Row by row, without any of the engine's ideas."""
    out, row = torch.empty(*query.shape, dtype=torch.float64), 0
    for span in made:
        for at in range(span.start, span.stop):
            first = 0 if window is None else max(0, at - window + 1)
            slots = torch.from_numpy(span.slots[first : at + 1])
            k = keys[slots].double()
            if span.shift is not None:  # here the keys are turned, and to the other side
                k = turn_keys(k, torch.from_numpy(span.shift[first : at + 1]))
            k = k.repeat_interleave(HEADS // KV_HEADS, 1)
            v = values[slots].double().repeat_interleave(HEADS // KV_HEADS, 1)
            scores = torch.einsum("hd,khd->hk", query[row].double(), k) * scale
            if softcap is not None:
                scores = torch.tanh(scores / softcap) * softcap
            if sinks is not None:
                scores = torch.cat((scores, sinks.double()[:, None]), 1)
            weights = torch.softmax(scores, -1)[:, : len(slots)]
            out[row] = torch.einsum("hk,khd->hd", weights, v)
            row += 1
    return out


def turn_keys(k: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """k [K, Hkv, D] as complex numbers, turned on by the shifts [K]."""
    n = len(FREQUENCIES)
    z = torch.complex(k[..., :n], k[..., n : 2 * n])
    z = z * torch.exp(1j * shift[:, None, None] * FREQUENCIES.double())
    return torch.cat((z.real, z.imag, k[..., 2 * n :]), -1)


@settings(max_examples=150, deadline=None)
@given(
    made=st.one_of(spans(), shifted_spans()),
    pays=st.sampled_from([1, 8, 10_000]),
    window=st.sampled_from([None, 1, 4, 20, 1000]),
    softcap=st.sampled_from([None, None, 3.0]),
    sinks=st.booleans(),
    kernel=st.sampled_from([cpu.partial, reference.partial]),
)
def test_it_is_softmax_attention(made, pays, window, softcap, sinks, kernel) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    rows = sum(map(len, made))
    query = torch.randn(rows, HEADS, SIZE)
    keys, values = torch.randn(2, SLOTS, KV_HEADS, SIZE)
    used = np.unique(np.concatenate([span.slots[: span.stop] for span in made]))
    unused = np.setdiff1d(np.arange(SLOTS), used)
    keys[unused] = values[unused] = float("nan")  # nothing may read what was not written
    sink = torch.randn(HEADS) if sinks else None
    layout = build_layout(made, pays=pays)
    layout.check()
    step = StepLayout(layout, CPU)
    turned_rows, shifts = map(torch.from_numpy, step.turned)
    turned = Turns(ROPE, turned_rows, shifts).of(0, query)
    got = attend(
        torch.cat((query, turned)), keys, values, step, kernel,
        scale=0.4, window=window, softcap=softcap, sinks=sink,
    )  # fmt: skip
    want = oracle(query, keys, values, made, scale=0.4, window=window, softcap=softcap, sinks=sink)
    assert (got - want).abs().max() < 3e-6


@settings(max_examples=60, deadline=None)
@given(made=spans(), pays=st.sampled_from([1, 8, 10_000]))
def test_rows_of_a_decode_step_are_laid_out_as_any_others(made: list[Span], pays: int) -> None:
    made = [Span(span.slots, span.stop - 1, span.stop) for span in made]
    found = build_layout(made, pays=pays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_module, "_is_tail", lambda *_: False)
        twin = build_layout(made, pays=pays)
    for one, other in zip(found.own, twin.own, strict=True):
        for name in ("rows", "keys", "row_at", "key_at", "row_counts", "key_counts"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


@settings(max_examples=40, deadline=None)
@given(made=spans())
def test_one_broken_sequence_does_not_break_the_others(made: list[Span]) -> None:
    rows = sum(map(len, made))
    query, keys = torch.randn(rows, HEADS, SIZE), torch.randn(SLOTS, KV_HEADS, SIZE)
    values = torch.randn(SLOTS, KV_HEADS, SIZE)
    broken = made[-1].slots[made[-1].start :]
    keys[broken] = values[broken] = float("nan")
    got = attend(
        query, keys, values, StepLayout(build_layout(made, pays=1), CPU), cpu.partial, scale=0.4
    )
    row = 0
    for span in made:
        for at in range(span.start, span.stop):
            sees = np.isin(span.slots[: at + 1], broken).any()
            assert bool(got[row].isnan().any()) == sees
            row += 1


@pytest.mark.parametrize("kernel", [cpu.partial, reference.partial])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_sees_nothing(kernel, dtype) -> None:  # type: ignore[no-untyped-def]
    query = torch.randn(2, 3, HEADS, SIZE, dtype=dtype)
    key, value = torch.randn(2, 2, 9, KV_HEADS, SIZE, dtype=dtype)
    mask = torch.zeros(2, 3, 9)
    mask[1, 2] = float("-inf")
    out, lse = kernel(query, key, value, scale=0.5, mask=mask)
    assert out.isfinite().all() and out.dtype == dtype
    assert lse.dtype == torch.float32
    assert (out[1, 2] == 0).all()
    want, _ = reference.partial(query.float(), key.float(), value.float(), scale=0.5, mask=mask)
    assert (out.float() - want).abs().max() < (1e-6 if dtype == torch.float32 else 0.02)


def test_runs_are_found_by_slots_alone() -> None:
    trunk = np.arange(10)
    limb = np.concatenate((trunk, [20, 21, 22]))
    made = [
        Span(np.concatenate((limb, [30])), 13, 14),
        Span(np.concatenate((limb, [31])), 13, 14),
        Span(np.concatenate((trunk, [40, 41])), 11, 12),
        Span(np.array([50]), 0, 1),
    ]
    assert sorted(shared_runs(made)) == [([0, 1], 10, 13), ([0, 1, 2], 0, 10), ([2], 10, 11)]
    layout = build_layout(made, pays=4)
    assert [group.keys[0].tolist() for group in layout.shared] == [list(range(10))]
    assert layout.shared[0].rows.tolist() == [[0, 1, 2]]
