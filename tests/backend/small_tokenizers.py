"""Small tokenizers for tests, made on the spot."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from ramify.backend.hf_tokenizer import HFTokenizer

TEXT = (
    "The harbour was built on trade and fish. Ships came from far away with salt, wood and iron. "
    "Every winter the men of the old town went out again, and many small houses stood empty. "
    "Assistant: yes. User: no? System: 1234567890 {'a': [1, 2]} \n\n"
) * 4
CHATML = ("<|im_start|>", "<|im_end|>")
DEMO = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
LLAMA = ("<s>", "</s>", "[INST]", "[/INST]")


def stories() -> Path:
    """The folder of the small stories model, or skip."""
    found = [p / "shared/models/stories260K" for p in Path(__file__).resolve().parents]
    folder = next((path for path in found if path.is_dir()), None)
    if folder is None:
        pytest.skip("../shared/models/stories260K is not here")
    return folder


def byte_level(
    special: tuple[str, ...] = DEMO,
    *,
    template: str | None = None,
    end: str | None = None,
    start: str | None = None,
    plain: tuple[str, ...] = (),
    all_bytes: bool = True,
    prefix_space: bool = False,
    size: int = 420,
) -> HFTokenizer:
    """A byte-level BPE. `plain` are added tokens that are not special."""
    return _byte_level(special, template, end, start, plain, all_bytes, prefix_space, size)


@cache
def _byte_level(
    special: tuple[str, ...],
    template: str | None,
    end: str | None,
    start: str | None,
    plain: tuple[str, ...],
    all_bytes: bool,
    prefix_space: bool,
    size: int,
) -> HFTokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if all_bytes else []
    core.train_from_iterator(
        [TEXT],
        BpeTrainer(
            vocab_size=size,
            special_tokens=list(special),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    if plain:
        core.add_tokens(list(plain))
    if start:
        number = core.token_to_id(start)
        core.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, number)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=end or special[-1], bos_token=start
    )
    fast.chat_template = template
    return HFTokenizer(fast)


@cache
def unigram(*, legacy: bool = False) -> HFTokenizer:
    """A sentencepiece-like Unigram model with byte fallback and a space before the first word."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [(character, -9.0) for character in "▁abcdefghijklmnopqrstuvwxyz.,"]
    pieces += [("▁the", -3.0), ("▁and", -3.5), ("▁harbour", -5.0), ("ing", -4.0), ("▁a", -4.0)]
    core = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    if legacy:
        core.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        core.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return HFTokenizer(fast)
