"""Which model families the engine can run: refused by name before any weight is read."""

from __future__ import annotations

from typing import Any

from ramify.errors import ModelLoadError

LAYER_KINDS = {"full_attention", "sliding_attention"}
# Families that use the interface in a way that we cannot follow.
_OTHERWISE = {
    "nemotron": "its code does not hand on what a call says to its attention",
    "moshi": "its code does not hand on what a call says to its attention",
    "diffllama": "a layer attends more than once",
    "longcat_flash": "a layer attends more than once",
    "doge": "its attention has a mask of its own",
}
# Encoders that transformers turns into decoders where the config says `is_decoder`.
_ENCODERS = {
    "bert", "bert-generation", "camembert", "data2vec-text", "electra", "ernie", "roberta",
    "roberta-prelayernorm", "roc_bert", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
SWITCHING_ROPE = {"dynamic", "longrope"}  # frequencies depend on the longest row of the batch


def model_class(config: Any, *, remote_code: bool) -> Any:
    """The causal LM class for a config. Raises ModelLoadError for a family that cannot run."""
    from transformers import AutoModelForCausalLM

    family = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise _refused(family, "it has an encoder")
    if type(config) not in AutoModelForCausalLM._model_mapping:
        if remote_code and hasattr(config, "auto_map"):
            return AutoModelForCausalLM
        raise _refused(family, "transformers has no causal language model of this type")
    found = AutoModelForCausalLM._model_mapping[type(config)]
    found = found[0] if isinstance(found, tuple) else found
    check_class(found, family)
    if family in _OTHERWISE:
        raise _refused(family, _OTHERWISE[family])
    if family in _ENCODERS and not config.is_decoder:
        raise _refused(family, "it is an encoder: attention in both directions")
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ()) - LAYER_KINDS
    if kinds:
        raise _refused(family, f"it has layers of kind {', '.join(sorted(kinds))}")
    return found


def check_class(found: Any, family: str) -> None:
    """Raise ModelLoadError for a class that does not go through the attention interface."""
    if getattr(found, "_is_stateful", False):
        raise _refused(family, "it is recurrent: its state is not a KV cache")
    if not getattr(found, "_supports_attention_backend", False):
        raise _refused(family, "its code does not use transformers' attention interface")


def context_of(config: Any) -> int:
    """Tokens of the context. For rope kinds that switch with the length, up to the switch: beyond
    it a row would depend on which other rows are in the batch."""
    text = config.get_text_config(decoder=True)
    limit = getattr(text, "max_position_embeddings", None)
    if not isinstance(limit, int):
        raise _refused(config.model_type, "its config does not say max_position_embeddings")
    rope = getattr(text, "rope_parameters", None) or {}
    by_layer = [r for r in rope.values() if isinstance(r, dict)] or [rope]
    for part in by_layer:
        if part.get("rope_type") in SWITCHING_ROPE:
            limit = min(limit, part.get("original_max_position_embeddings") or limit)
    return limit


def vector_width(model: Any) -> int:
    """How wide the vectors are that a model takes in the place of tokens; 0 where it takes none."""
    text = model.config.get_text_config(decoder=True)
    if getattr(text, "hidden_size_per_layer_input", None):
        return 0  # its layers look the tokens up again
    width: int = model.get_input_embeddings().weight.shape[1]
    return width


def _refused(family: str, why: str) -> ModelLoadError:
    return ModelLoadError(
        f"the model family {family!r} cannot run in the radix engine: {why}.",
        hint="Use a decoder with attention in all layers (llama, qwen, mistral, gemma, phi, gpt2, "
        "...), or another backend.",
    )
