"""A random model that reads English: its tokenizer is learned from this repository."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.models import LlamaShape, random_llama

# the shape of SmolLM2-135M; at this spread the greedy output of 30 layers is varied and finite
SMOL = LlamaShape(
    layers=30, hidden=576, heads=9, kv_heads=3, intermediate=1536, vocab=49152, spread=0.05
)
ROOT = Path(__file__).parents[2]
PIECES = 4096
MARKS = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _sources() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    files = sorted((ROOT / "ramify").rglob("*.py"))
    return [path.read_text(encoding="utf-8") for path in (*pages, *files) if path.is_file()]


def make_tokenizer(size: int = PIECES) -> Any:
    """A byte-level BPE learned from this repository's prose and code, with ChatML's messages."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _sources(),
        BpeTrainer(
            vocab_size=size,
            special_tokens=list(MARKS),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    found = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=MARKS[1])
    found.chat_template = TEMPLATE
    return found


def english_model(shape: LlamaShape) -> Path:
    """The folder of the random model with that tokenizer; made once per machine."""
    weights = random_llama(shape)
    folder = weights.with_name(f"{weights.name}-english-{PIECES}")
    if folder.is_dir():
        return folder
    made = Path(tempfile.mkdtemp(dir=weights.parent))
    try:
        for path in weights.iterdir():
            if path.name.startswith(("model", "config", "generation")):
                os.link(path, made / path.name)
        make_tokenizer(min(PIECES, shape.vocab)).save_pretrained(made)
        os.replace(made, folder)
    except OSError:
        if not folder.is_dir():  # else another process made it first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
