"""Small random models of many families, made on the spot, with a tokenizer trained on the spot."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

FAMILIES = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "phi3", "gpt2", "gpt_oss", "qwen3_moe",
    "mixtral", "gemma", "gemma3", "smollm3", "olmo2", "granite", "gpt_neox", "opt", "cohere",
    "starcoder2", "deepseek_v3",
)  # fmt: skip
FEW = FAMILIES[:7]  # for what does not depend on the family's details
VOCAB = 160
WORDS = (
    "the river ran past a mill and an old man sat there telling stories of boats and winters "
    "to children who had never seen the sea but knew its name 0 1 2 3 4 5 6 7 8 9 { } [ ] : , "
)


_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "initializer_range": 0.15, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_WINDOW = {"sliding_window": 24, "head_dim": 16}
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3_moe": (
        "Qwen3Moe",
        {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    ),
    "mistral": ("Mistral", _WINDOW),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gemma": ("Gemma", {"head_dim": 16}),
    "gemma2": (
        "Gemma2",
        {**_WINDOW, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0,
         "final_logit_softcapping": 5.0},
    ),
    "gemma3": (
        "Gemma3Text",
        {**_WINDOW, "query_pre_attn_scalar": 16,
         "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "phi3": ("Phi3", {}),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0]}),
    "olmo2": ("Olmo2", {}),
    "granite": (
        "Granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.7, "attention_multiplier": 0.2,
         "logits_scaling": 2.0},
    ),
    "gpt_neox": ("GPTNeoX", {"rotary_pct": 0.5}),
    "opt": ("OPT", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    "cohere": ("Cohere", {"logit_scale": 0.5, "use_qk_norm": True}),
    "starcoder2": ("Starcoder2", {"sliding_window": 24}),
    "gpt_oss": ("GptOss", {**_WINDOW, "num_local_experts": 2, "num_experts_per_tok": 1}),
    "deepseek_v3": (
        "DeepseekV3",
        {"num_key_value_heads": 4, "q_lora_rank": 24, "kv_lora_rank": 32, "qk_rope_head_dim": 8,
         "qk_nope_head_dim": 8, "v_head_dim": 12, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "n_group": 1, "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1},
    ),
}  # fmt: skip


def config(family: str, **changes: Any) -> Any:
    """A config of a family: 2 layers of width 64, 4 heads on 2 KV heads, window 24 where any."""
    import transformers as tf

    if family == "gpt2":
        return tf.GPT2Config(
            vocab_size=VOCAB, n_embd=64, n_layer=2, n_head=4, n_positions=512,
            initializer_range=0.15, bos_token_id=1, eos_token_id=2, pad_token_id=0, **changes,
        )  # fmt: skip
    kind, extra = _KINDS[family]
    return getattr(tf, f"{kind}Config")(**{**_SIZES, **extra, **changes})


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
