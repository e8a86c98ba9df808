"""Random models, made once per machine: same seed, same weights, no download."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

END = "<|end|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaShape:
    """A Llama of random weights. The default has 28 million parameters."""

    layers: int = 8
    hidden: int = 512
    heads: int = 8
    kv_heads: int = 4
    intermediate: int = 1408
    vocab: int = 4096
    context: int = 4096
    dtype: str = "bfloat16"
    seed: int = 0
    spread: float = 0.15  # of the weights: wide enough that greedy output is varied

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: the layers and the LM head."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + (
            self.hidden * self.vocab
        )


def make_tokenizer(vocab: int) -> Any:
    """A byte-level BPE of exactly `vocab` tokens: bytes, pairs and triples of letters, the end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = list(product(ascii_lowercase, ascii_lowercase))
    triples = ((a + b, c) for (a, b), c in product(pairs, ascii_lowercase))
    merges = list(islice((*pairs, *triples), vocab - 1 - len(tokens)))
    tokens += [a + b for a, b in merges]
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END)


def _make(shape: LlamaShape, folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(shape.vocab)
    config = LlamaConfig(
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocab,
        max_position_embeddings=shape.context,
        initializer_range=shape.spread,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(shape.seed)
        model = LlamaForCausalLM(config).to(getattr(torch, shape.dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def random_llama(shape: LlamaShape) -> Path:
    """The folder of the model, made on first use below the system's temporary folder."""
    key = sha256(json.dumps(asdict(shape), sort_keys=True).encode()).hexdigest()[:12]
    cache = Path(tempfile.gettempdir()) / "ramify-benchmarks"
    folder = cache / f"llama-{shape.layers}x{shape.hidden}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(exist_ok=True)
    # made beside its place and moved there, so that a broken run leaves no half model
    made = Path(tempfile.mkdtemp(dir=cache))
    try:
        _make(shape, made)
        os.replace(made, folder)
    except OSError:
        if not folder.is_dir():  # else another process made it first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
