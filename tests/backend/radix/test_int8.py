"""Int8 weights: the product against plain arithmetic, and the whole engine against transformers
with the same weights."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from ramify.backend.collect import collect
from ramify.backend.contract import Request, TokenPrompt
from ramify.backend.radix import RadixBackend, int8
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.fused import FusedBody
from ramify.backend.radix.hf_body import HFBody
from ramify.backend.radix.int8 import Int8Linear, Int8Module, quantize_modules, weight_bytes
from ramify.backend.radix.layout import Span
from ramify.backend.radix.model import Body, LanguageModel, Step
from ramify.backend.radix.native.body import NativeBody
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.scheduler import Scheduler
from ramify.errors import BackendError, ModelLoadError
from ramify.ir.sampling import Sampling
from tests.backend.radix.harness import CPU, generation, load, need_compiler, run
from tests.backend.radix.models import VOCAB, tiny
from tests.backend.radix.test_native import model_of
from tests.backend.radix.test_native import run as compute

STORIES = Path(__file__).parents[4] / "shared" / "models" / "stories260K"


def naive(x: Tensor, parts: list[nn.Linear]) -> Tensor:
    """Integers as float64: exact products and sums."""
    weight = torch.cat([p.weight.detach() for p in parts]).float()
    scale = weight.abs().amax(1) / 127
    integers = (weight / scale[:, None]).round().double()
    largest = x.abs().amax(-1, keepdim=True).float()
    rows = (x.float() * (127 / largest)).round().double()
    out = rows @ integers.T * scale.double() * largest.double() / 127
    if parts[0].bias is not None:
        out = out + torch.cat([p.bias.detach() for p in parts]).double()
    return out


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 70), width=st.sampled_from([8, 33, 64, 576]),
    outs=st.lists(st.sampled_from([1, 16, 37, 96]), min_size=1, max_size=3), bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]), kernel=st.booleans(),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_it_is_a_product_of_integers(
    rows: int, width: int, outs: list[int], bias: bool, dtype: torch.dtype, kernel: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    parts = [nn.Linear(width, out, bias=bias, dtype=dtype) for out in outs]
    x = (torch.randn(rows, width) * torch.logspace(-3, 3, rows)[:, None]).to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        if not kernel:
            patch.setattr(int8, "has_kernel", lambda: False)  # as on another device
        linear = Int8Linear(*parts)
    got, want = linear(x), naive(x, parts)
    assert got.dtype == dtype and got.shape == want.shape
    allowed = (1e-5 if dtype == torch.float32 else 2e-2) * want.abs().amax(-1, keepdim=True)
    assert bool(((got.double() - want).abs() <= allowed).all())


def test_a_row_does_not_depend_on_its_company() -> None:
    torch.manual_seed(0)
    linear = Int8Linear(nn.Linear(64, 48, bias=False))
    x = torch.randn(40, 64)
    x[3] *= 1e6
    x[4] = 0
    together = linear(x)
    for i in range(40):
        torch.testing.assert_close(linear(x[i : i + 1])[0], together[i], rtol=1e-6, atol=1e-30)
    assert (together[4] == 0).all()
    x[7, 5], x[8, 0] = float("nan"), float("inf")
    broken = linear(x)
    sound = [i for i in range(40) if i not in (7, 8)]
    torch.testing.assert_close(broken[sound], together[sound], rtol=1e-6, atol=1e-30)
    assert not broken[7].isfinite().any() and not broken[8].isfinite().any()


def quantized(family: str) -> Any:
    """The model of a family as transformers runs it, over int8 weights."""
    model = AutoModelForCausalLM.from_pretrained(tiny(family), attn_implementation="eager")
    quantize_modules(model, head=True)
    return model.eval()


def body(family: str, *, fused: bool) -> Body:
    model = load(family)
    if fused:
        return FusedBody(model, context=512, quantize="int8")
    quantize_modules(model, head=True)
    return HFBody(model)


@pytest.mark.parametrize(
    ("family", "fused", "cache"),
    [
        ("llama", True, True), ("qwen3", True, False), ("mistral", True, True),
        ("llama", False, False), ("gemma2", False, True), ("gpt2", False, True),
    ],
)  # fmt: skip
def test_answers_are_those_of_transformers_with_these_weights(
    family: str, fused: bool, cache: bool
) -> None:
    rng = np.random.default_rng(3)
    trunk = rng.integers(3, VOCAB, 40).tolist()
    asked = [[*trunk, *rng.integers(3, VOCAB, n).tolist()] for n in (1, 5, 9)]
    scheduler = Scheduler(Cache(600, shared=cache), budget=19, max_batch=3)
    pool = KVPool(600, CPU)
    engine = Engine(LanguageModel(body(family, fused=fused), pool, context=512, pays=8), scheduler)
    jobs = [generation(ids, 6) for ids in asked]
    for job in jobs:
        engine.submit(job)
    run(engine, check=True)
    model = quantized(family)
    with torch.inference_mode():
        for job, ids in zip(jobs, asked, strict=True):
            tokens = torch.tensor([ids])
            out = model.generate(
                tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=6,
                do_sample=False, eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
            assert job.sink.ids == out[0, len(ids) :].tolist()


@pytest.mark.skipif(not STORIES.is_dir(), reason="the shared model stories260K is not here")
def test_real_weights_keep_their_answers() -> None:
    plain = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()
    quantize_modules(model, head=True)
    with torch.inference_mode():
        tokens = plain.generate(torch.tensor([[1, 403]]), do_sample=False, max_new_tokens=120)
        want, got = plain(tokens).logits[0], model(tokens).logits[0]
    assert (got - want).norm() / want.norm() < 0.03
    assert (got.argmax(-1) == want.argmax(-1)).float().mean() > 0.94


def made_before(model: Any) -> int:
    return sum(p.nbytes for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quantize", ["int8", "int8-layers"])
def test_compiled_kernels_are_as_near_to_the_truth(dtype: torch.dtype, quantize: str) -> None:
    """A product differs in its last bit, a number is rounded to the next integer and all that
    follows is a little different: equal means here, no further from float32 than the twin is."""
    need_compiler()
    kind = (64, 6, 2, None)
    exact, _ = compute(FusedBody(model_of(*kind, torch.float32), context=1024))
    twin, _ = compute(FusedBody(model_of(*kind, dtype), context=1024, quantize=quantize))
    found, _ = compute(NativeBody(model_of(*kind, dtype), context=1024, quantize=quantize))
    error = (twin - exact).norm()
    assert 0.01 < error / exact.norm() < 0.06
    assert (found - exact).norm() < 1.1 * error
    assert (found - twin).norm() < error


def test_a_compiled_product_is_the_twin_s() -> None:
    """One layer, one token: nothing to add up the roundings."""
    need_compiler()
    model = model_of(64, 6, 2, None, torch.float32)
    del model.model.layers[1]
    model.config.num_hidden_layers = 1
    other = copy.deepcopy(model)
    step = Step(np.array([7]), np.array([0]), np.array([0]), np.array([0]), [])
    step.spans = [Span(np.array([0]), 0, 1)]
    bodies = (
        FusedBody(model, context=8, quantize="int8"),
        NativeBody(other, context=8, quantize="int8"),
    )
    twin, found = (LanguageModel(b, KVPool(1, CPU), context=8).forward(step) for b in bodies)
    assert (found - twin).abs().max() < 1e-5 * twin.abs().max()


@pytest.fixture(params=["llama", "llama, torch", "gemma2"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[RadixBackend]:
    family, _, torch_only = request.param.partition(", ")
    opened = RadixBackend.open(
        tiny(family), pool_tokens=300, threads=1, name=family,
        quantize="int8", native=not torch_only,
    )  # fmt: skip
    yield opened
    await opened.close()


async def test_the_option_quantizes_and_counts_the_bytes(backend: RadixBackend) -> None:
    made = backend._worker._engine.model.body
    model = load(backend.name)
    assert backend.weight_bytes == weight_bytes(model, "int8")
    assert max(backend.weight_bytes, weight_bytes(model, "int8-layers")) < made_before(model)
    assert weight_bytes(model, "none") == made_before(model)
    if isinstance(made, NativeBody):
        held = sum(t.nbytes for t in made._held if t.dtype == torch.uint8)
        numbers = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
        assert numbers < held < backend.weight_bytes
        return
    if isinstance(made, FusedBody):
        layers = [part for layer in made._layers for part in (
            layer.qkv, layer.out, layer.gate_up, layer.down
        )]  # fmt: skip
        parts = [*layers, made._head]
    else:
        parts = [m.linear for m in made.model.modules() if isinstance(m, Int8Module)]
        assert not [m for m in made.model.modules() if isinstance(m, nn.Linear)]
    assert all(isinstance(part, Int8Linear) for part in parts)
    rest = [p for n, p in model.named_parameters() if not n.endswith(("_proj.weight", "lm_head"))]
    held = sum(part.nbytes for part in parts) + sum(p.nbytes for p in rest)
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    assert backend.weight_bytes == held - (0 if tied else head.nbytes)


async def test_logits_that_are_not_numbers_end_only_that_request(backend: RadixBackend) -> None:
    made: Any = backend._worker._engine.model.body
    table = made._embed.weight if isinstance(made, HFBody) else made._embed

    def ask(ids: tuple[int, ...]) -> Any:
        sampling = Sampling(max_tokens=6, ignore_end=True)
        return collect(backend.generate(Request(prompt=TokenPrompt(ids), sampling=sampling)))

    import asyncio

    sound = tuple(range(5, 45))
    want = (await ask(sound)).ids
    await backend.clear_cache()
    unused = next(i for i in range(3, VOCAB) if i not in (*sound, *want))
    table[unused] = float("nan")  # the weights of one token are broken
    good, bad = await asyncio.gather(ask(sound), ask((*sound, unused)), return_exceptions=True)
    assert isinstance(bad, BackendError) and "finite" in str(bad)
    assert good.ids == want


def test_unknown_values_and_wrong_models_are_refused() -> None:
    with pytest.raises(BackendError, match=r"quantize='int4' is not allowed.*int8, int8-layers"):
        RadixBackend.open(tiny("llama"), quantize="int4")
    for family in ("mixtral", "qwen3_moe"):
        with pytest.raises(ModelLoadError, match=r"would leave [0-9,]+ of [0-9,]+ weights"):
            RadixBackend.open(tiny(family), quantize="int8")


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("compressed-tensors", "compressed-tensors"),
        ("torchao", "torchao"),
        ("gptq", "optimum"),
        ("something", "which transformers does not know"),
    ],
)
def test_a_quantized_checkpoint_names_what_it_needs(method: str, what: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("llama"), tmp_path / "model"))
    path = folder / "config.json"
    extra = {"quant_method": method, "bits": 4, "group_size": 128, "quant_type": "int8_weight_only"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": extra}))
    with pytest.raises(ModelLoadError, match=f"quantized by '{method}'.*{what}"):
        RadixBackend.open(folder)
