"""A Llama's safetensors as GGUF, in its own precision. Runs in `.venv-peers-llama`: no torch there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


Bits = NDArray[np.uint16] | NDArray[np.uint32]


def read_bits(path: Path) -> dict[str, Bits]:
    """The tensors of a safetensors file, bfloat16 or float32, as bits."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    found: dict[str, Bits] = {}
    for name, about in json.loads(raw[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        kind = {"BF16": np.uint16, "F32": np.uint32}[about["dtype"]]
        begin, end = about["data_offsets"]
        width = np.dtype(kind).itemsize
        bits = np.frombuffer(raw, kind, (end - begin) // width, 8 + size + begin)
        found[name] = bits.reshape(about["shape"])
    return found


def interleaved(bits: Bits, heads: int) -> Bits:
    """Rows of a head in the order in which llama.cpp pairs them for rope."""
    halves = bits.reshape(heads, 2, -1, bits.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(bits.shape))


def convert(folder: Path, *, vocab: bool = False) -> Path:
    """The GGUF of a model folder, made beside it on first use; with its vocabulary for servers."""
    target = folder / ("model-vocab.gguf" if vocab else "model-bf16.gguf")
    if target.is_file():
        return target
    made = folder / f"{target.stem}.{os.getpid()}.part"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(str(made), "llama")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    tensors = read_bits(folder / "model.safetensors")
    exact = any(bits.dtype == np.uint32 for bits in tensors.values())
    kinds = gguf.LlamaFileType
    writer.add_file_type(kinds.ALL_F32 if exact else kinds.MOSTLY_BF16)
    if vocab:
        _add_vocabulary(writer, folder, config["eos_token_id"])
    else:
        writer.add_tokenizer_model("no_vocab")
    for name, bits in tensors.items():
        if name.endswith("q_proj.weight"):
            bits = interleaved(bits, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            bits = interleaved(bits, config["num_key_value_heads"])
        if bits.dtype == np.uint32:
            writer.add_tensor(_name(name), bits.view(np.float32))
        elif bits.ndim == 1:  # norms are float32 there
            writer.add_tensor(_name(name), (bits.astype(np.uint32) << 16).view(np.float32))
        else:
            kind = gguf.GGMLQuantizationType.BF16
            data = bits.view(np.uint8).reshape(*bits.shape[:-1], -1)
            writer.add_tensor(_name(name), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    made.replace(target)
    return target


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path, end: int) -> None:
    """A byte-level BPE with GPT-2's pre-tokenizer, as `benchmarks.harness.models` makes it."""
    found = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    ids = dict(found["model"]["vocab"])
    special = {one["content"]: one["id"] for one in found["added_tokens"]}
    tokens = sorted(ids | special, key=(ids | special).__getitem__)
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.CONTROL if t in special else kinds.NORMAL for t in tokens])
    merges = found["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)


def _name(name: str) -> str:
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem = name.removesuffix(".weight")
    if stem in top:
        return f"{top[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.weight"
