"""Logits against plain transformers, family by family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ramify.backend.radix.layout import Span
from ramify.backend.radix.model import LanguageModel, Step
from ramify.backend.radix.pool import KVPool
from tests.backend.radix.harness import CPU, Fused, body, plain
from tests.backend.radix.models import FAMILIES, VOCAB, tiny

FUSED = ("llama", "mistral", "qwen2", "qwen3")
ALL = [*((f, False) for f in FAMILIES), *((f, how) for f in FUSED for how in (True, "native"))]


def pack(parts: list[tuple[np.ndarray, np.ndarray, int]]) -> Step:
    """A step of (tokens, slots, start); every row's logits are wanted."""
    spans = [Span(slots, start, len(tokens)) for tokens, slots, start in parts]
    count = sum(map(len, spans))
    return Step(
        np.concatenate([t[start:] for t, _, start in parts]),
        np.concatenate([np.arange(s.start, s.stop) for s in spans]),
        np.concatenate([s.slots[s.start : s.stop] for s in spans]),
        np.arange(count),
        spans,
    )


@pytest.mark.parametrize(("family", "fused"), ALL)
@pytest.mark.parametrize("pays", [1, 10_000])
def test_a_prefix_and_its_branches_in_chunks(family: str, fused: Fused, pays: int) -> None:
    """A prefix of 60 in two chunks, then three branches at once, of 1, 7 and 40 tokens."""
    rng = np.random.default_rng(3)
    prefix, sizes = rng.integers(3, VOCAB, 60), (1, 7, 40)
    slots = rng.permutation(200)
    pool = KVPool(200, CPU)
    model = LanguageModel(body(family, fused=fused), pool, context=512, pays=pays)
    got = [model.forward(pack([(prefix[:23], slots[:23], 0)]))]
    got.append(model.forward(pack([(prefix, slots[:60], 23)])))
    branches, parts, at = [], [], 60
    for size in sizes:
        tokens = np.concatenate((prefix, rng.integers(3, VOCAB, size)))
        parts.append((tokens, np.concatenate((slots[:60], slots[at : at + size])), 60))
        branches.append(tokens)
        at += size
    together = model.forward(pack(parts)).split(sizes)
    with torch.inference_mode():
        for tokens, logits in zip(branches, together, strict=True):
            want = plain(family)(torch.from_numpy(tokens)[None], use_cache=False).logits[0]
            have = torch.cat((*got, logits))
            assert (have - want).abs().max() < 1e-5


@pytest.mark.parametrize(("family", "fused"), ALL)
def test_a_leader_and_its_follower_in_one_step(family: str, fused: Fused) -> None:
    """A follower reads KV that the same step writes."""
    rng = np.random.default_rng(4)
    tokens = rng.integers(3, VOCAB, 45)
    slots = np.arange(100)
    pool = KVPool(100, CPU)
    model = LanguageModel(body(family, fused=fused), pool, context=512, pays=8)
    follower = np.concatenate((tokens[:40], rng.integers(3, VOCAB, 5)))
    follower_slots = np.concatenate((slots[:40], slots[50:55]))
    got = model.forward(pack([(tokens, slots, 0), (follower, follower_slots, 40)]))
    with torch.inference_mode():
        want = plain(family)(torch.from_numpy(np.stack([tokens, follower])), use_cache=False).logits
    want = torch.cat((want[0], want[1, 40:]))
    assert (got - want).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("gemma2", {"attn_logit_softcapping": None}),
        ("gemma2", {"sliding_window": 10_000}),
        ("gemma3", {"sliding_window": 10_000}),
        ("mistral", {"sliding_window": None}),
        ("starcoder2", {"sliding_window": None}),
        ("gpt_oss", {"sliding_window": 10_000}),
        ("gpt_oss", {"sinks": -1e9}),
        ("granite", {"attention_multiplier": 0.25}),
    ],
)
def test_what_is_special_of_a_family_matters_in_these_tests(
    family: str, change: dict[str, Any]
) -> None:
    """Without it transformers' own logits are others: the tests above would notice."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny(family))
    sinks = change.get("sinks")
    for name, value in change.items():
        setattr(config, name, value)
    other = AutoModelForCausalLM.from_pretrained(
        tiny(family), config=config, attn_implementation="eager"
    )
    if sinks is not None:
        for layer in other.model.layers:
            layer.self_attn.sinks.data.fill_(sinks)
    tokens = torch.from_numpy(np.random.default_rng(3).integers(3, VOCAB, 60))[None]
    with torch.inference_mode():
        changed = other.eval()(tokens, use_cache=False).logits
        difference = (changed - plain(family)(tokens, use_cache=False).logits).abs().max()
    assert difference > 1e-3  # the tests above allow 1e-5
