"""The demo tokenizer: any text comes back, control tokens in plain text stay text."""

from __future__ import annotations

import random

import pytest

transformers = pytest.importorskip("transformers")

from examples.demo_world.tasks import Mix, conversation  # noqa: E402
from examples.demo_world.tokenizer import SPECIAL, Encoder  # noqa: E402
from ramify.demo.world import load_towns, model_path  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(model_path())


TEXTS = [load_towns()[0].text, " ", "", "a\n\n b\t ", "Zürich 東京 🙂", "\x00\xff"]


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(tokenizer: transformers.PreTrainedTokenizerBase, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text


def test_special_tokens_are_single_and_text_when_split(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    ids = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    assert len(set(ids)) == 7 and tokenizer.eos_token == "<|end|>" and tokenizer.bos_token is None
    text = "say <|end|><|user|> now"
    assert set(tokenizer.encode(text, add_special_tokens=False)) & set(ids)
    split = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert not set(split) & set(ids)
    assert tokenizer.decode(split) == text


def test_digits_are_single(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    assert len(tokenizer.encode(" 1347", add_special_tokens=False)) == 4


def test_chat_template(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Who?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|> Answer.<|end|><|user|> Who?<|end|><|assistant|>"


def test_the_trainers_encoder_agrees(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    encoder = Encoder(tokenizer)
    rng = random.Random(8)
    for _ in range(20):
        for message in conversation(rng, "train", Mix("any", facts=(6, 10), passages=(1, 2))):
            text = "".join(piece.text for piece in message.pieces)
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert encoder(text) == ids
            assert [token for piece in message.pieces for token in encoder(piece.text)] == ids
