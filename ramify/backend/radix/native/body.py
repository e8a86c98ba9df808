"""`Body` in compiled code: what `FusedBody` computes, in one call per step."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ramify.backend.radix.attention.context import StepContext
from ramify.backend.radix.fused import can_fuse, window_of
from ramify.backend.radix.native.build import library
from ramify.backend.radix.native.plan import Plan
from ramify.backend.radix.native.structs import Problems, Rest, Shape, StepIn, Weights
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.sampler import Largest


def can_run(model: Any) -> bool:
    """Whether `NativeBody` runs this model: on a CPU, what can be fused, with sizes that fill
    vectors of 16 numbers (pairs of them in bfloat16), no bias in the MLP."""
    if model.device.type != "cpu" or not can_fuse(model):
        return False
    config = model.config
    size = model.model.layers[0].self_attn.head_dim
    unit = 32 if model.dtype == torch.bfloat16 else 16
    return (
        size % unit == 0
        and config.hidden_size % unit == 0
        and config.intermediate_size % unit == 0
        and not getattr(config, "mlp_bias", False)
    )


class NativeBody:
    """See `Body`. Takes the weights over: the modules' own are given up layer by layer.

    Raises NoLibraryError where there is no compiled library. The stream between layers is float32
    in every dtype, and logits are float32.
    """

    def __init__(self, model: Any, *, context: int, quantize: str = "none") -> None:
        """`quantize` as in `RadixOptions`."""
        int8 = ("none", "int8-layers", "int8").index(quantize)
        self._library = library()
        config, inner = model.config, model.model
        first = inner.layers[0].self_attn
        self.layers: int = config.num_hidden_layers
        self.vocab: int = config.vocab_size
        self._dtype: torch.dtype = model.dtype
        self._kv_heads: int = config.num_key_value_heads
        self._size: int = first.head_dim
        self._held: list[Tensor] = []  # what the compiled side has pointers to
        self._pools: weakref.WeakKeyDictionary[KVPool, tuple[Any, Any]]
        self._pools = weakref.WeakKeyDictionary()  # where those that have been set up lie
        shape = Shape(
            self.layers, config.hidden_size, config.num_attention_heads, self._kv_heads,
            self._size, config.intermediate_size, self.vocab, self._dtype == torch.bfloat16, int8,
            config.rms_norm_eps, first.scaling,
        )  # fmt: skip
        self._packed = self._room(model, int8)
        layers = (Weights * self.layers)()
        for index, layer in enumerate(inner.layers):
            layers[index] = self._weights(layer, window_of(layer, config), int8 > 0)
            layer.self_attn = layer.mlp = None
        cos, sin = inner.rotary_emb(
            torch.empty(1, dtype=torch.float32), torch.arange(context)[None]
        )
        self._embed: Tensor = inner.embed_tokens.weight.detach().contiguous()
        rest = Rest(
            self._keep(self._embed), self._keep(inner.norm.weight),
            self._pack(model.lm_head.weight, int8 == 2), self._keep(cos[0]), self._keep(sin[0]),
            1 / inner.rotary_emb.attention_scaling,
        )  # fmt: skip
        self._body = self._library.ramify_body(
            ctypes.addressof(shape), ctypes.addressof(rest), ctypes.addressof(layers)
        )
        weakref.finalize(self, self._library.ramify_free, self._body)

    def logits(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Tensor:
        """See `Body`."""
        out = torch.empty(len(wanted), self.vocab, dtype=torch.float32)
        self._run(tokens, positions, wanted, step, (out.data_ptr(), None, None))
        return out

    def largest(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Largest:
        """See `GreedyBody`."""
        # arrays: torch's operators would hand the interpreter to whoever waits for it
        best, values = np.empty(len(wanted), np.int64), np.empty(len(wanted), np.float32)
        self._run(tokens, positions, wanted, step, (None, best.ctypes.data, values.ctypes.data))
        return Largest(best.tolist(), np.isfinite(values).tolist())

    def _run(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext,
        out: tuple[int | None, int | None, int | None],
    ) -> None:  # fmt: skip
        """`out`: where logits, best tokens and their logits go."""
        plan = Plan.of(step.layout.layout)
        keys, values = self.lay_out(step.pool)
        hidden = None
        if step.vectors is not None:
            hidden = step.insert(self._embed[tokens]).contiguous()
        step_in = StepIn(
            len(tokens), len(wanted), torch.get_num_threads(), tokens.data_ptr(),
            positions.data_ptr(), step.slots.data_ptr(), wanted.data_ptr(), keys, values,
            Problems(
                len(plan.own), plan.row_from.ctypes.data, plan.rows.ctypes.data,
                plan.row_at.ctypes.data, plan.key_from.ctypes.data, plan.keys.ctypes.data,
                plan.key_at.ctypes.data, plan.shift.ctypes.data, plan.own.ctypes.data,
            ),
            None if hidden is None else hidden.data_ptr(), *out,
        )  # fmt: skip
        self._library.ramify_run(self._body, ctypes.addressof(step_in))
        step.layers.extend(range(self.layers))

    def lay_out(self, pool: KVPool) -> tuple[Any, Any]:
        """Make all layers of a pool, if need be; returns pointers to their keys and values."""
        found = self._pools.get(pool)
        if found is None:
            shape = (self._kv_heads, self._size)
            pairs = [pool.layer(index, shape, shape, self._dtype) for index in range(self.layers)]
            for tensor in (each for pair in pairs for each in pair):
                self._library.ramify_large_pages(tensor.data_ptr(), tensor.nbytes)
            array = ctypes.c_void_p * self.layers
            both = [[tensor.data_ptr() for tensor in side] for side in zip(*pairs, strict=True)]
            found = self._pools[pool] = array(*both[0]), array(*both[1])
        return found

    def _weights(self, layer: Any, window: int | None, int8: bool) -> Weights:
        attention, mlp = layer.self_attn, layer.mlp
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        bias = None
        if parts[0].bias is not None:
            bias = self._keep(torch.cat([part.bias for part in parts]))
        gate, up = (part.weight.unflatten(0, (-1, 16)) for part in (mlp.gate_proj, mlp.up_proj))
        out_bias, normed = attention.o_proj.bias, hasattr(attention, "q_norm")
        return Weights(
            self._keep(layer.input_layernorm.weight),
            self._pack(torch.cat([part.weight for part in parts]), int8),
            bias,
            self._keep(attention.q_norm.weight) if normed else None,
            self._keep(attention.k_norm.weight) if normed else None,
            self._pack(attention.o_proj.weight, int8),
            None if out_bias is None else self._keep(out_bias),
            self._keep(layer.post_attention_layernorm.weight),
            self._pack(torch.stack((gate, up), 1).flatten(0, 2), int8),
            self._pack(mlp.down_proj.weight, int8),
            window or 0,
        )

    def _keep(self, tensor: Tensor) -> int:
        held = tensor.detach().contiguous()
        self._held.append(held)
        return held.data_ptr()

    def _pack(self, weight: Tensor, int8: bool) -> int:
        """A weight [N, K] in the blocks of gemm.h, or of int8.h."""
        weight = weight.detach().contiguous()
        rows, width = weight.shape
        size = _packed_bytes(rows, width, weight.dtype, int8)
        packed, self._packed = self._packed[:size], self._packed[size:]
        if int8:
            self._library.ramify_pack8(
                weight.data_ptr(), rows, width, weight.dtype == torch.bfloat16, packed.data_ptr()
            )
            return packed.data_ptr()
        self._library.ramify_pack(
            weight.data_ptr(), rows, width, weight.dtype == torch.bfloat16, packed.data_ptr()
        )
        return packed.data_ptr()

    def _room(self, model: Any, int8: int) -> Tensor:
        """Memory for all packed weights, one behind the other as a step reads them."""
        size = 0
        for name, part in model.named_modules():
            if name.endswith(("_proj", "lm_head")):
                rows, width = part.weight.shape
                size += _packed_bytes(rows, width, self._dtype, int8 > (name == "lm_head"))
        room = torch.empty(size, dtype=torch.uint8)
        self._held.append(room)
        self._library.ramify_large_pages(room.data_ptr(), size)
        return room


def _packed_bytes(rows: int, width: int, dtype: torch.dtype, int8: bool) -> int:
    blocks = -(-rows // 16)
    return blocks * (16 * width + 128) if int8 else blocks * 16 * width * dtype.itemsize
