"""Llama-like models with fewer and larger operations than transformers' modules.

Query, key and value are one product, gate and up another; queries and keys are rotated together;
the last layer goes on with the wanted rows only. The arithmetic is that of the modules, and the
self-test compares the logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ramify.backend.radix.attention.context import StepContext
from ramify.backend.radix.int8 import Int8Linear
from ramify.backend.radix.linear import Linear

_CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_FIXED_ROPE = ("default", "linear", "llama3", "yarn")  # frequencies that never change


@dataclass(slots=True)
class _Norm:
    weight: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


@dataclass(slots=True)
class _Layer:
    before_attention: _Norm
    qkv: Linear | Int8Linear
    query_norm: _Norm | None
    key_norm: _Norm | None
    out: Linear | Int8Linear
    before_mlp: _Norm
    gate_up: Linear | Int8Linear
    down: Linear | Int8Linear
    scale: float
    window: int | None


def can_fuse(model: Any) -> bool:
    """Whether `FusedBody` runs this model: a known class, plain weights, silu, fixed rope."""
    config = model.config
    return (
        type(model).__name__ in _CLASSES
        and type(model).__module__.startswith("transformers.")
        and config.hidden_act == "silu"
        and model.model.rotary_emb.rope_type in _FIXED_ROPE
        and model.dtype in (torch.float32, torch.bfloat16)
        and all(
            type(part) is nn.Linear
            for name, part in model.named_modules()
            if name.endswith(("_proj", "lm_head"))
        )
    )


class FusedBody:
    """See `Body`. Takes the weights over: the modules' own are given up layer by layer."""

    def __init__(self, model: Any, *, context: int, quantize: str = "none") -> None:
        """`quantize` as in `RadixOptions`."""
        config, inner = model.config, model.model
        self.layers: int = config.num_hidden_layers
        self.vocab: int = config.vocab_size
        first = inner.layers[0].self_attn
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._size: int = first.head_dim
        self._embed: Tensor = inner.embed_tokens.weight.detach()
        linear = Linear if quantize == "none" else Int8Linear
        self._head = (Int8Linear if quantize == "int8" else Linear)(model.lm_head)
        self._norm = _norm(inner.norm)
        self._layers = []
        for layer in inner.layers:
            self._layers.append(_fuse(layer, config, linear))
            layer.self_attn = layer.mlp = None
        at = torch.arange(context, device=self._embed.device)[None]
        cos, sin = inner.rotary_emb(self._embed[:1], at)
        half = self._size // 2
        self._cos = cos[0, :, None].contiguous()  # [context, 1, D]
        self._sin = torch.cat((-sin[0, :, None, :half], sin[0, :, None, half:]), -1)

    def logits(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Tensor:
        """See `Body`."""
        hidden = step.insert(self._embed[tokens])
        cos, sin = self._cos[positions], self._sin[positions]
        for index, layer in enumerate(self._layers):
            out = self._attend(index, layer, hidden, cos, sin, step)
            if index == self.layers - 1:
                hidden, out = hidden[wanted], out[wanted]
            hidden = hidden + layer.out(out)
            gate, up = layer.gate_up(layer.before_mlp(hidden)).chunk(2, -1)
            hidden = hidden + layer.down(F.silu(gate) * up)
        return self._head(self._norm(hidden))

    def _attend(
        self, index: int, layer: _Layer, hidden: Tensor, cos: Tensor, sin: Tensor, step: StepContext
    ) -> Tensor:
        """The attention of a layer before its output projection: [T, Hq * D]."""
        heads, kv_heads, size = self._heads, self._kv_heads, self._size
        qkv = layer.qkv(layer.before_attention(hidden)).view(-1, heads + 2 * kv_heads, size)
        rotated, value = qkv[:, : heads + kv_heads], qkv[:, heads + kv_heads :]
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = rotated[:, :heads], rotated[:, heads:]
            rotated = torch.cat((layer.query_norm(query), layer.key_norm(key)), 1)
        half = size // 2
        swapped = torch.cat((rotated[..., half:], rotated[..., :half]), -1)
        rotated = torch.addcmul(rotated * cos, swapped, sin)
        out = step.attend(
            index, rotated[:, :heads], rotated[:, heads:], value,
            scale=layer.scale, window=layer.window,
        )  # fmt: skip
        return out.reshape(-1, heads * size)


def _norm(module: Any) -> _Norm:
    return _Norm(module.weight.detach(), module.variance_epsilon)


def _fuse(layer: Any, config: Any, linear: type[Linear | Int8Linear]) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    normed = hasattr(attention, "q_norm")
    return _Layer(
        before_attention=_norm(layer.input_layernorm),
        qkv=linear(attention.q_proj, attention.k_proj, attention.v_proj),
        query_norm=_norm(attention.q_norm) if normed else None,
        key_norm=_norm(attention.k_norm) if normed else None,
        out=linear(attention.o_proj),
        before_mlp=_norm(layer.post_attention_layernorm),
        gate_up=linear(mlp.gate_proj, mlp.up_proj),
        down=linear(mlp.down_proj),
        scale=attention.scaling,
        window=window_of(layer, config),
    )


def window_of(layer: Any, config: Any) -> int | None:
    """The sliding window of a layer."""
    if config.model_type == "mistral":
        return config.sliding_window  # type: ignore[no-any-return]
    return getattr(layer.self_attn, "sliding_window", None)
