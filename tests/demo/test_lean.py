"""The training step: the lean forward pass and its kernels against plain torch and transformers."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from examples.demo_world import kernels  # noqa: E402
from examples.demo_world.batches import Batch, dev_batch, training_batches  # noqa: E402
from examples.demo_world.lean import Lean  # noqa: E402
from examples.demo_world.model import answers_loss, build  # noqa: E402
from examples.demo_world.stages import STAGES, Kind  # noqa: E402
from examples.demo_world.tokenizer import Encoder  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402


@pytest.fixture(scope="module")
def fast() -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def encoder(fast: transformers.PreTrainedTokenizerBase) -> Encoder:
    return Encoder(fast)


def branches(batch: Batch) -> list[tuple[torch.Tensor, int]]:
    """Of some branches: their tokens behind their prefix, without padding, and their place."""
    scenes, prefix, count, length = batch.shape
    found = []
    for at in range(scenes * count):
        place = scenes * prefix + at * length
        start = at // count * prefix
        size = int((batch.ids[place : place + length] != 0).sum())
        head = int(batch.position[place]) if size else 0
        ids = torch.cat([batch.ids[start : start + head], batch.ids[place : place + size]])
        if size:
            found.append((ids, place))
    return random.Random(2).sample(found, min(4, len(found)))


@pytest.mark.parametrize("kind", STAGES[-1].kinds, ids=lambda kind: kind.name)
def test_hidden_states_are_those_of_transformers(
    fast: transformers.PreTrainedTokenizerBase, encoder: Encoder, kind: Kind
) -> None:
    model = build(3, fast)[0].eval()
    with torch.no_grad():  # sharp attention blows up the rounding of scores
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight *= 0.2
    lean = Lean(model)
    batch = dev_batch(encoder, kind, 700)
    with torch.no_grad():
        x = lean(batch.shape, batch.ids, batch.position, batch.prefix_mask, batch.branch_mask)
        x = kernels.norm(x, model.model.norm.weight, lean.eps).float()
        for ids, place in branches(batch):
            own = len(ids) - int(batch.position[place])
            expected = model.model(input_ids=ids[None]).last_hidden_state[0, -own:]
            got = x[place : place + own]
            assert (got - expected).norm() / expected.norm() < 0.02  # bf16 products


def test_kernels_have_the_derivatives_of_plain_torch() -> None:
    torch.manual_seed(5)
    bf16 = {"dtype": torch.bfloat16}

    def same(ours: object, plain: object, *inputs: torch.Tensor) -> None:
        results = []
        for function in (ours, plain):
            given = [one.clone().requires_grad_() for one in inputs]
            out = function(*given)  # type: ignore[operator]
            out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype))
            results.append([out.detach(), *(one.grad for one in given)])
        for got, expected in zip(*results, strict=True):
            assert (got.float() - expected.float()).norm() <= 0.05 * expected.float().norm() + 1e-6

    x, weight = torch.randn(9, 16), torch.rand(16) + 0.5
    same(lambda a, b: kernels.norm(a, b, 1e-6).float(),
         lambda a, b: torch.nn.functional.rms_norm(a, (16,), b, 1e-6), x, weight)  # fmt: skip
    both = torch.randn(9, 32, **bf16)
    same(kernels.gate,
         lambda a: torch.nn.functional.silu(a[:, :16]) * a[:, 16:], both)  # fmt: skip
    mask = torch.full((5, 5), -1e9, **bf16).triu(1)
    same(lambda a: kernels.softmax(a, mask),
         lambda a: torch.softmax(a.float() + mask, -1), torch.randn(3, 5, 5, **bf16))  # fmt: skip
    angle = torch.rand(9, 1, 4)
    cos, sin = angle.cos(), angle.sin()
    same(lambda a: kernels.turn(a, cos, sin),
         lambda a: torch.cat([a[..., :4] * cos - a[..., 4:] * sin,
                              a[..., 4:] * cos + a[..., :4] * sin], -1),
         torch.randn(9, 2, 8, **bf16))  # fmt: skip


def test_answers_are_counted_and_batches_repeat(
    fast: transformers.PreTrainedTokenizerBase, encoder: Encoder
) -> None:
    lean = Lean(build(3, fast)[0])
    first = training_batches(encoder, 1, 5, STAGES[1], 900)
    again = training_batches(encoder, 1, 5, STAGES[1], 900)
    assert all(torch.equal(a.ids, b.ids) and torch.equal(a.loss, b.loss)
               for a, b in zip(first, again, strict=True))  # fmt: skip
    for batch in first:
        losses, weight, exact = answers_loss(lean, batch)
        losses.backward()
        assert losses > 0 and weight > 0
        assert len(exact) == int(batch.answer.max()) + 1
        assert not exact.any()  # an untrained model has no answer right
