"""Before a model serves anyone: do its layers call our attention, and are the logits right?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ramify.backend.radix.hf_body import ATTENTION
from ramify.backend.radix.layout import Span
from ramify.backend.radix.model import Body, LanguageModel, Step
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.slots import IntArray
from ramify.errors import ModelLoadError

_PREFIX, _BRANCH = 7, 4


class SelfTest:
    """A prefix and two branches of it, once by the model's own attention, then by bodies."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._name = type(model).__name__
        self._device = device
        vocab = model.config.get_text_config(decoder=True).vocab_size
        tokens = (np.arange(_PREFIX + 2 * _BRANCH) * 7919 + 11) % vocab
        self._prefix, self._branches = tokens[:_PREFIX], tokens[_PREFIX:].reshape(2, _BRANCH)
        batch = np.stack([np.concatenate((self._prefix, branch)) for branch in self._branches])
        logits = _plain_logits(model, batch, device)[:, _PREFIX:].flatten(0, 1)
        # in bfloat16 the model's own rounding is the larger part of the difference
        self._limit = 1e-3 if logits.dtype == torch.float32 else 0.2
        self._want = logits.float()

    def run(self, body: Body, *, within: float | None = None) -> int:
        """Compare a body; returns the bytes of KV of one slot.

        `within` is the relative error to allow, if not that of the dtype's rounding. Raises
        ModelLoadError where the logits differ by more.
        """
        limit = self._limit if within is None else within
        pool = KVPool(_PREFIX + 2 * _BRANCH, self._device)
        ours = LanguageModel(body, pool, context=_PREFIX + _BRANCH, pays=1)
        first = np.arange(_PREFIX)
        ours.forward(Step(self._prefix, first, first, first[-1:], [Span(first, 0, _PREFIX)]))
        at = np.arange(_PREFIX, _PREFIX + _BRANCH)
        own = [at, at + _BRANCH]
        spans = [Span(np.concatenate((first, s)), _PREFIX, _PREFIX + _BRANCH) for s in own]
        every = np.arange(2 * _BRANCH)
        step = Step(self._branches.reshape(-1), np.tile(at, 2), np.concatenate(own), every, spans)
        got = ours.forward(step)
        error = float((got.float() - self._want).norm() / self._want.norm())
        if not error < limit:
            raise ModelLoadError(
                f"the logits of {self._name} in the radix engine are off by {error:.2g} "
                f"(relative; allowed is {limit}).",
                hint="The family's attention has a meaning that the engine does not know.",
            )
        return pool.slot_bytes


@torch.inference_mode()
def _plain_logits(model: Any, batch: IntArray, device: torch.device) -> Tensor:
    model.set_attn_implementation("eager")
    try:
        out = model(input_ids=torch.from_numpy(batch).to(device), use_cache=False)
    finally:
        model.set_attn_implementation(ATTENTION)
    logits: Tensor = out.logits
    return logits
