"""The demo tokenizer: any text comes back, control tokens in plain text stay text."""

from __future__ import annotations

import random

import pytest

transformers = pytest.importorskip("transformers")

from examples.demo_world.batches import encode  # noqa: E402
from examples.demo_world.passages import Piece  # noqa: E402
from examples.demo_world.stages import STAGES, Kind  # noqa: E402
from examples.demo_world.tasks import MAKERS, Message, Scene  # noqa: E402
from examples.demo_world.tokenizer import COMPOUNDS, SPECIAL, Encoder, splitting  # noqa: E402
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


@pytest.mark.parametrize(("heads", "tails"), COMPOUNDS)
def test_names_are_cut_between_their_parts(heads: tuple[str, ...], tails: tuple[str, ...]) -> None:
    cut = splitting()
    for head in heads:
        for tail in tails:
            parts = [part for part, _ in cut.pre_tokenize_str(f" {head}{tail}.")]
            assert parts == [f"\u0120{head}", tail, "."]
    assert [part for part, _ in cut.pre_tokenize_str("Holdales old")] == ["Holdales", "\u0120old"]


def test_chat_template(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Who?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|> Answer.<|end|><|user|> Who?<|end|><|assistant|>"


@pytest.mark.parametrize("kind", STAGES[-1].kinds, ids=lambda kind: kind.name)
def test_the_trainers_tokens_are_those_of_the_chat(
    tokenizer: transformers.PreTrainedTokenizerBase, kind: Kind
) -> None:
    """Prefix and branch, joined, are what the chat template makes of the conversation."""
    encoder = Encoder(tokenizer)
    rng = random.Random(8)
    for _ in range(6):
        scene = MAKERS[kind.maker](rng, "train", kind.mix)
        prefix, branches = encode(encoder, scene)
        for branch, messages in zip(branches, scene.branches, strict=True):
            text = tokenizer.apply_chat_template(_whole(scene, messages), tokenize=False)
            assert prefix.ids + branch.ids == tokenizer.encode(text, add_special_tokens=False)


def _whole(scene: Scene, branch: tuple[Message, ...]) -> list[dict[str, str]]:
    """The conversation of one branch, as a user of the model would write it."""
    chat = [(m.role, _said(m.pieces)) for m in (*scene.messages, *branch)]
    if scene.open:
        at = len(scene.messages)
        chat[at] = ("user", f"{_said(scene.open)}\n\n{chat[at][1]}")
    return [{"role": role, "content": content} for role, content in chat]


def _said(pieces: tuple[Piece, ...]) -> str:
    return "".join(piece.text for piece in pieces)[1:]
