"""What training starts from: a model that copies, tells passages apart and subtracts digits."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from examples.demo_world.batches import Batch, dev_batch  # noqa: E402
from examples.demo_world.lean import Lean  # noqa: E402
from examples.demo_world.model import build  # noqa: E402
from examples.demo_world.passages import Mix  # noqa: E402
from examples.demo_world.probes import Probes  # noqa: E402
from examples.demo_world.stages import COMPARE, FIRST, FOUR, Kind  # noqa: E402
from examples.demo_world.tasks import VALUE_LOSS  # noqa: E402
from examples.demo_world.tokenizer import Encoder  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402

TEXT = (
    " [1] The mayor of Swanhurst is Dora Hoffsen. The population of Swanhurst is 2718. Dora Hoffsen"
)


@pytest.fixture(scope="module")
def fast() -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def fresh(
    fast: transformers.PreTrainedTokenizerBase,
) -> tuple[transformers.LlamaForCausalLM, Probes]:
    return build(1, fast)


def streams(model: transformers.LlamaForCausalLM, batch: Batch) -> list[torch.Tensor]:
    """The stream behind each layer."""
    taps: list[torch.Tensor] = []
    masks = (batch.prefix_mask, batch.branch_mask)
    with torch.no_grad():
        Lean(model)(batch.shape, batch.ids, batch.position, *masks, taps)
    return taps


def test_a_fresh_model_goes_on_as_the_passage_does(
    fast: transformers.PreTrainedTokenizerBase,
    fresh: tuple[transformers.LlamaForCausalLM, Probes],
) -> None:
    model = fresh[0]
    model.config._attn_implementation = "eager"
    ids = torch.tensor([fast(TEXT)["input_ids"]])
    out = model(ids, output_attentions=True)
    last, before = out.attentions[0][0, 0], out.attentions[0][0, 1]
    assert last.diagonal(-1)[1:].min() > 0.6
    assert before.diagonal(-2)[1:].min() > 0.6
    batch = dev_batch(Encoder(fast), Kind("ask", FIRST), 3000)
    values = batch.loss == VALUE_LOSS
    stream = torch.nn.functional.rms_norm(streams(model, batch)[-1][values], (192,))
    scores = stream @ model.lm_head.weight.detach().T
    first = scores.argmax(-1) == batch.target[values]
    assert first.float().mean() > 0.2  # of 1,280 tokens; by chance 0.001
    assert not torch.equal(build(2, fast)[0].lm_head.weight, model.lm_head.weight)


def test_it_knows_the_passage_of_a_token_and_the_passage_asked_for(
    fast: transformers.PreTrainedTokenizerBase,
    fresh: tuple[transformers.LlamaForCausalLM, Probes],
) -> None:
    model, probes = fresh
    batch = dev_batch(Encoder(fast), Kind("ask", replace(FOUR, asks=10)), 4000)
    taps = streams(model, batch)
    here = batch.label > 0
    cut = batch.shape.scenes * batch.shape.prefix
    in_passage = here & (torch.arange(len(here)) < cut)
    read = torch.nn.functional.linear(taps[1], probes.place[0]).argmax(-1)
    assert (read == batch.label)[in_passage].float().mean() > 0.9
    said = here & (batch.ids == fast.convert_tokens_to_ids("\u0120is")) & ~in_passage
    read = torch.nn.functional.linear(taps[2], probes.asked[0]).argmax(-1)
    assert (read == batch.label)[said].float().mean() > 0.6  # of three or four
    told_nothing = replace(batch, told=torch.zeros_like(batch.told))
    assert 0 < probes(taps, told_nothing) < 1.5  # by chance: 1.8


def test_it_knows_which_of_two_digits_is_lower(
    fast: transformers.PreTrainedTokenizerBase,
    fresh: tuple[transformers.LlamaForCausalLM, Probes],
) -> None:
    model, probes = fresh
    batch = dev_batch(Encoder(fast), Kind("compare", COMPARE), 3000)
    taps = streams(model, batch)
    where, sign = (batch.target[:, None] == probes.signs).nonzero(as_tuple=True)
    assert {0, 1, 2} == set(sign.tolist())
    read = torch.nn.functional.rms_norm(taps[0][where], taps[0].shape[-1:]) @ probes.sign.T
    assert (read.argmax(-1) == sign).float().mean() > 0.95


def test_an_answer_gathers_what_a_passage_has_told(
    fast: transformers.PreTrainedTokenizerBase,
    fresh: tuple[transformers.LlamaForCausalLM, Probes],
) -> None:
    model, probes = copy.deepcopy(fresh[0]), fresh[1]
    encoder = Encoder(fast)
    batch = dev_batch(encoder, Kind("outline", Mix("outline", facts=(3, 9))), 2000)
    cut = batch.shape.scenes * batch.shape.prefix
    with torch.no_grad():  # as if the words themselves said what they tell
        ids, told = batch.ids[:cut], batch.told[:cut]
        for at in range(len(probes.told[0])):
            here, elsewhere = ids[told == 1 << at], ids[told != 1 << at]
            words = here[~torch.isin(here, elsewhere)].unique()
            model.model.embed_tokens.weight[words] += probes.told[0][at]
        taps = streams(model, batch)
    answers = (batch.told[cut:] > 0).nonzero()[:, 0]
    read = torch.nn.functional.linear(taps[2][cut:][answers], probes.known[0])
    bits = (batch.told[cut:][answers, None] >> torch.arange(read.shape[1])) & 1
    right = (read[:, :, None] > read[:, None])[(bits[:, :, None] == 1) & (bits[:, None] == 0)]
    assert right.float().mean() > 0.85  # what was told is read above what was not: by chance 0.5
