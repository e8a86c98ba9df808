"""A transformers model as it is, with our attention in it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ramify.backend.radix.attention.context import StepContext
from ramify.errors import ModelLoadError

ATTENTION = "ramify_radix"  # our name in transformers' AttentionInterface
# What models give their attention besides tensors, and that changes nothing here.
_HARMLESS = {
    "position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states",
    "output_router_logits", "return_dict", "past_key_values", "position_embeddings", "is_causal",
}  # fmt: skip


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    ramify: StepContext | None = None,
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
    if ramify is None:
        raise ModelLoadError(
            f"{type(module).__name__} is not told what its model was called with.",
            hint="This family cannot run in the radix engine.",
        )
    out = ramify.attend(
        module.layer_idx,
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        softcap=softcap,
        sinks=s_aux,
    )
    return out[None], None


def register_attention() -> None:
    """Make our attention known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attention)


class HFBody:
    """Runs any model that goes through transformers' attention interface."""

    def __init__(self, model: Any) -> None:
        self.model = model
        text = model.config.get_text_config(decoder=True)
        self.layers: int = text.num_hidden_layers
        self.vocab: int = text.vocab_size
        self._embed = model.get_input_embeddings()

    def logits(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Tensor:
        """See `Body`. Raises ModelLoadError where not every layer called our attention once."""
        read = {"input_ids": tokens[None]}
        if step.vectors is not None:
            read = {"inputs_embeds": step.insert(self._embed(tokens))[None]}
        out = self.model(
            **read,
            position_ids=positions[None],
            logits_to_keep=wanted,
            use_cache=False,
            ramify=step,
        )
        if sorted(step.layers) != list(range(self.layers)):
            raise ModelLoadError(
                f"{type(self.model).__name__} has {self.layers} layers, but the layers that called "
                f"our attention are {step.layers}.",
                hint="This family cannot run in the radix engine.",
            )
        logits: Tensor = out.logits[0]
        return logits
