"""Small random models of many families, made on the spot, with a tokenizer trained on the spot."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "phi3", "gpt2")
VOCAB = 160
WORDS = (
    "the river ran past a mill and an old man sat there telling stories of boats and winters "
    "to children who had never seen the sea but knew its name 0 1 2 3 4 5 6 7 8 9 { } [ ] : , "
)


def config(family: str, **changes: Any) -> Any:
    """A config of a family: 2 layers of width 64, 4 heads on 2 KV heads, window 24 where any."""
    import transformers as tf

    base: dict[str, Any] = {
        "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "initializer_range": 0.15, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "llama": (tf.LlamaConfig, {}),
        "qwen2": (tf.Qwen2Config, {}),
        "qwen3": (tf.Qwen3Config, {"head_dim": 16}),
        "mistral": (tf.MistralConfig, {"sliding_window": 24, "head_dim": 16}),
        "gemma2": (
            tf.Gemma2Config,
            {"sliding_window": 24, "head_dim": 16, "query_pre_attn_scalar": 16,
             "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0},
        ),
        "phi3": (tf.Phi3Config, {}),
        "gpt_oss": (
            tf.GptOssConfig,
            {"sliding_window": 24, "head_dim": 16, "num_local_experts": 2,
             "num_experts_per_tok": 1},
        ),
    }  # fmt: skip
    if family == "gpt2":
        return tf.GPT2Config(
            vocab_size=VOCAB, n_embd=64, n_layer=2, n_head=4, n_positions=512,
            initializer_range=0.15, bos_token_id=1, eos_token_id=2, pad_token_id=0, **changes,
        )  # fmt: skip
    kind, extra = kinds[family]
    return kind(**{**base, **extra, **changes})


@functools.lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted({c for c in WORDS + 'abcdefghijklmnopqrstuvwxyz".\\-+?!"'} - {" "})
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=[*alphabet, "Ġ"],
    )  # fmt: skip
    core.train_from_iterator([WORDS] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed at the end of the process


@functools.cache
def tiny(family: str, seed: int = 0) -> Path:
    """The folder of a random model of a family, in float32. Made once per process."""
    import torch
    from transformers import AutoModelForCausalLM

    _folders.append(tempfile.TemporaryDirectory(prefix=f"ramify-{family}-"))
    folder = Path(_folders[-1].name)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(family))
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder
