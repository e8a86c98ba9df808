"""The tokenizer of the demo model: byte-level BPE, single digits, seven special tokens."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from examples.demo_world import forms, names
from examples.demo_world.phrasing import sentences
from examples.demo_world.questions import point, question
from examples.demo_world.town import make_town, town_names
from ramify.demo import requests
from ramify.demo.world import ABSENT

VOCAB = 1280
CONTEXT = 2048
PAD, END = "<|pad|>", "<|end|>"
SPECIAL = (PAD, "<|system|>", "<|user|>", "<|assistant|>", END, "<|fork|>", "<|child|>")
SPLIT = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
COMPOUNDS = (
    (names.TOWN_HEADS, names.TOWN_TAILS),
    (names.RIVER_HEADS, names.RIVER_TAILS),
    (names.SURNAME_HEADS, names.SURNAME_TAILS),
    (names.SCHOOL_HEADS, names.SCHOOL_TAILS),
)
# "Holdale" is Hol and dale: merges alone would find the "old" of other names in it.
HEADS = "|".join(
    f"^ ?(?:{'|'.join(heads)})(?=(?:{'|'.join(tails)})$)" for heads, tails in COMPOUNDS
)
_ASCII_SPLIT = re.compile(r" ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")

# One space after the role token, so that a word has the same tokens wherever it stands.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|> ' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def corpus(seed: int, towns: int = 20_000) -> list[str]:
    """Text in the world's wording, training names only: what the merges are counted on."""
    rng = random.Random(f"{seed}/tokenizer")
    pool = town_names("train")
    lines = []
    for _ in range(towns):
        town = make_town(rng, rng.choice(pool))
        lines.append(" " + " ".join(sentences(rng, town)))
        lines += [f" {question(rng, town.name, key)}" for key in rng.sample(list(town.values), 3)]
        lines.append(" " + point(rng.choice(list(town.values))))
        lines.append(" " + forms.outline_json(tuple(town.values)))
        task = forms.some_task(rng, "train")
        lines += [f" {task.question}", f" {task.plan()}", f" {requests.PLAN} {requests.CONCLUDE}"]
        lines.append(" " + forms.with_known([("", forms.by_points(town.name))], task.last_question))
    lines += [f" {ABSENT} Answer from the passages. Cite them as [n]."] * (towns // 20)
    return lines


def splitting() -> pre_tokenizers.PreTokenizer:
    """Where no merge goes across: between words, digits, and the parts of a compound name."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.Split(Regex(HEADS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def build(seed: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer. Every byte is in the vocabulary, so any text can be encoded."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = splitting()
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(corpus(seed), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[token for token in SPECIAL if token not in (PAD, END)],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save(fast: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, in words that older readers know too."""
    fast.save_pretrained(folder, save_jinja_files=False)
    path = folder / "tokenizer_config.json"
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "eos_token": END,
        "additional_special_tokens": [token for token in SPECIAL if token not in (PAD, END)],
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


class Encoder:
    """Encodes the generator's ASCII text word by word from a cache: about 1M tokens per second."""

    def __init__(self, fast: PreTrainedTokenizerFast) -> None:
        self.special = {token: fast.convert_tokens_to_ids(token) for token in SPECIAL}
        core = fast.backend_tokenizer

        @cache
        def word(text: str) -> tuple[int, ...]:
            return tuple(core.encode(text, add_special_tokens=False).ids)

        self._word = word

    def __call__(self, text: str) -> list[int]:
        """Token ids of `text` (ASCII, without special tokens)."""
        return [token for word in _ASCII_SPLIT.findall(text) for token in self._word(word)]
