"""Before a model serves anyone: do its layers call our attention, and are the logits right?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ramify.backend.radix.layout import Span
from ramify.backend.radix.model import ATTENTION, LanguageModel, Step
from ramify.backend.radix.pool import KVPool
from ramify.errors import ModelLoadError

_PREFIX, _BRANCH = 7, 4


def self_test(model: Any, device: torch.device) -> int:
    """Run a prefix and two branches of it, and compare with the model's own attention.

    Returns the bytes of KV of one slot. Raises ModelLoadError where the logits differ.
    """
    pool = KVPool(_PREFIX + 2 * _BRANCH, device)
    ours = LanguageModel(model, pool, pays=1)
    vocab = model.config.get_text_config(decoder=True).vocab_size
    tokens = (np.arange(_PREFIX + 2 * _BRANCH) * 7919 + 11) % vocab
    prefix, branches = tokens[:_PREFIX], tokens[_PREFIX:].reshape(2, _BRANCH)
    first = np.arange(_PREFIX)
    ours.forward(Step(prefix, first, first, first[-1:], [Span(first, 0, _PREFIX)]))
    at = np.arange(_PREFIX, _PREFIX + _BRANCH)
    own = [at, at + _BRANCH]
    spans = [Span(np.concatenate((first, slots)), _PREFIX, len(first) + _BRANCH) for slots in own]
    every = np.arange(2 * _BRANCH)
    got = ours.forward(
        Step(branches.reshape(-1), np.tile(at, 2), np.concatenate(own), every, spans)
    )
    batch = np.stack([np.concatenate((prefix, branch)) for branch in branches])
    want = _plain_logits(model, batch, device)[:, _PREFIX:].flatten(0, 1)
    error = float((got.float() - want.float()).norm() / want.float().norm())
    limit = 1e-3 if got.dtype == torch.float32 else 0.1
    if not error < limit:
        raise ModelLoadError(
            f"the logits of {type(model).__name__} in the radix engine are off by {error:.2g} "
            f"(relative; allowed is {limit}).",
            hint="The family's attention has a meaning that the engine does not know.",
        )
    return pool.slot_bytes


@torch.inference_mode()
def _plain_logits(model: Any, batch: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    model.set_attn_implementation("eager")
    try:
        ids = torch.from_numpy(batch).to(device)
        out = model(input_ids=ids, use_cache=False)
    finally:
        model.set_attn_implementation(ATTENTION)
    logits: torch.Tensor = out.logits
    return logits
