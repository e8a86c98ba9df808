"""What training starts from: a model that copies before it has read anything."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoTokenizer  # noqa: E402

from examples.demo_world.model import build  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402

TEXT = (
    " [1] The mayor of Swanhurst is Dora Hoffsen. The population of Swanhurst is 2718. Dora Hoffsen"
)


def test_a_fresh_model_goes_on_as_the_passage_does() -> None:
    fast = AutoTokenizer.from_pretrained(model_path())
    model = build(1, fast)
    model.config._attn_implementation = "eager"
    ids = torch.tensor([fast(TEXT)["input_ids"]])
    out = model(ids, output_attentions=True)
    last, before = out.attentions[0][0, 0], out.attentions[0][0, 1]
    assert last.diagonal(-1)[1:].min() > 0.6
    assert before.diagonal(-2)[1:].min() > 0.6
    again = len(fast(" Dora Hoffsen")["input_ids"])  # its second time: the end is to be foretold
    assert again >= 3
    foretold = out.logits[0, -again:-1].argmax(-1)
    assert torch.equal(foretold[1:], ids[0, 2 - again :])  # two tokens make it sure
    assert not torch.equal(build(2, fast).lm_head.weight, model.lm_head.weight)
