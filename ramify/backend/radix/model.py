"""A transformers model whose attention is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ramify.backend.radix.attention.attend import Kernel, attend, kernel_for
from ramify.backend.radix.attention.tensors import StepLayout
from ramify.backend.radix.families import context_of
from ramify.backend.radix.layout import Span, build_layout
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.slots import IntArray
from ramify.errors import ModelLoadError

ATTENTION = "ramify_radix"  # our name in transformers' AttentionInterface
# What models give their attention besides tensors, and that changes nothing here.
_HARMLESS = {
    "position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states",
    "output_router_logits", "return_dict", "past_key_values", "position_embeddings", "is_causal",
}  # fmt: skip


@dataclass(slots=True)
class Step:
    """The rows of one forward pass; T rows, n of them give logits."""

    tokens: IntArray  # [T]
    positions: IntArray  # [T]
    slots: IntArray  # [T] where each row's KV goes
    wanted: IntArray  # [n] rows whose logits are wanted
    spans: list[Span]


@dataclass(slots=True)
class Context:
    """What reaches the attention function through the model's keyword arguments."""

    pool: KVPool
    layout: StepLayout
    slots: Tensor
    kernel: Kernel
    layers: list[int] = field(default_factory=list)  # layers that called, in order


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ramify: Context,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The function that every layer calls: query [1, Hq, T, D], key and value [1, Hkv, T, D],
    after rope. Returns [1, T, Hq, Dv]. Raises ModelLoadError for a meaning it does not know."""
    unknown = [name for name, v in others.items() if v is not None and name not in _HARMLESS]
    if unknown or attention_mask is not None or dropout or not getattr(module, "is_causal", True):
        what = ", ".join(unknown) or "a mask, dropout or attention in both directions"
        raise ModelLoadError(f"{type(module).__name__} asks for {what}, which is not known.")
    layer = module.layer_idx
    ramify.layers.append(layer)
    keys, values = ramify.pool.write(
        layer, ramify.slots, key[0].transpose(0, 1), value[0].transpose(0, 1)
    )
    out = attend(
        query[0].transpose(0, 1), keys, values, ramify.layout, ramify.kernel,
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window, softcap=softcap, sinks=s_aux,
    )  # fmt: skip
    return out[None], None


def register_attention() -> None:
    """Make our attention known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attention)


class LanguageModel:
    """Runs steps of the model over a KV pool."""

    def __init__(self, model: Any, pool: KVPool, *, pays: int = 512) -> None:
        """`pays`: the layout's cost rule in tokens; see `build_layout`."""
        self.model = model
        self.context = context_of(model.config)
        self.pool = pool
        self.device = pool.device
        self._pays = pays
        self._kernel = kernel_for(pool.device)

    def over(self, pool: KVPool) -> LanguageModel:
        """The same model over another pool."""
        return LanguageModel(self.model, pool, pays=self._pays)

    @torch.inference_mode()
    def forward(self, step: Step) -> Tensor:
        """Logits [n, vocabulary] of the wanted rows; the KV of all rows is in the pool."""
        layout = build_layout(step.spans, pays=self._pays)
        context = Context(
            self.pool, StepLayout(layout, self.device), self._tensor(step.slots), self._kernel
        )
        out = self.model(
            input_ids=self._tensor(step.tokens)[None],
            position_ids=self._tensor(step.positions)[None],
            logits_to_keep=self._tensor(step.wanted),
            use_cache=False,
            ramify=context,
        )
        self._check_calls(context.layers)
        logits: Tensor = out.logits[0]
        return logits

    def _check_calls(self, layers: list[int]) -> None:
        count = self.model.config.get_text_config(decoder=True).num_hidden_layers
        if sorted(layers) != list(range(count)):
            raise ModelLoadError(
                f"{type(self.model).__name__} has {count} layers, but the layers that called our "
                f"attention are {layers}.",
                hint="This family cannot run in the radix engine.",
            )

    def _tensor(self, array: IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
