"""Segments of a text to vectors: the frozen model reads them, the resampler says them shorter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix.devices import HOST
from ramify.backend.radix.families import vector_width
from ramify.backend.radix.gist.head import load_head
from ramify.backend.radix.gist.resampler import Resampler, Shape
from ramify.backend.radix.gist.shares import share, windows
from ramify.backend.radix.loading import load_model
from ramify.errors import ModelLoadError
from ramify.ir.vectors import Vectors

_KEPT = 1024  # texts whose vectors are remembered
Parts = tuple[tuple[int, ...], ...]  # the tokens of each segment of a text


def hidden_states(model: Any, ids: Tensor, mask: Tensor, taps: Sequence[int]) -> Tensor:
    """What a model has at each token of ids [D, N] in the layers `taps`, each scaled to unit root
    mean square, side by side: [D, N, taps * width]. Padding stands at the right."""
    seen = model.base_model(
        input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
    ).hidden_states
    return torch.cat([F.rms_norm(seen[tap].float(), seen[tap].shape[-1:]) for tap in taps], -1)


def cut(rows: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
    """Rows [D, N, W] of texts, the sizes of whose segments are given, as one row for each segment,
    [S, T, W], with zeros behind."""
    longest = max(size for own in sizes for size in own)
    found = []
    for text, own in enumerate(sizes):
        for stop, size in zip(accumulate(own), own, strict=True):
            found.append(F.pad(rows[text, stop - size : stop], (0, 0, 0, longest - size)))
    return torch.stack(found)


class Encoder:
    """A model and its gist head, on the CPU in float32. Any thread may ask, one at a time runs."""

    def __init__(self, folder: Path, head: Path) -> None:
        """Raises ModelLoadError."""
        self._resampler, self.facts = load_head(head, folder)
        self.tokenizer = HFTokenizer.load(folder)
        self.model, _ = load_model(
            folder, device=str(HOST), dtype="float32", remote_code=False, attention="sdpa"
        )
        self.width = vector_width(self.model)
        if self.width != self._resampler.shape.width:
            raise ModelLoadError(
                f"the gist head {str(head)!r} writes vectors of {self._resampler.shape.width}, and "
                f"the model reads {self.width or 'none'}."
            )
        self._lock = Lock()
        self._known = lru_cache(_KEPT)(self._encode)

    @property
    def shape(self) -> Shape:
        return self._resampler.shape

    def __call__(self, parts: Parts, ratio: float) -> Vectors:
        """The vectors of a text of one segment or more. Equal texts give equal vectors, whatever
        else was asked: each is computed alone."""
        with self._lock:
            return self._known(parts, ratio)

    @torch.inference_mode()
    def _encode(self, parts: Parts, ratio: float) -> Vectors:
        found = []
        for window in windows([len(part) for part in parts], self.facts.window):
            found.append(encode(self.model, self._resampler, [parts[i] for i in window], ratio))
        return Vectors.of(torch.cat(found), model=self.facts.model)


def encode(
    model: Any, resampler: Resampler, parts: Sequence[Sequence[int]], ratio: float
) -> Tensor:
    """The vectors of segments that are read together, [n, width]."""
    shape, sizes = resampler.shape, [len(part) for part in parts]
    device = resampler.sharp.device
    ids = torch.tensor([[token for part in parts for token in part]], device=device)
    states = hidden_states(model, ids, torch.ones_like(ids), shape.taps)
    embedded = model.get_input_embeddings()(ids).float()
    counts = [share(size, ratio, shape.slots) for size in sizes]
    out: Tensor = resampler(
        cut(states, [sizes]),
        cut(embedded, [sizes]),
        torch.tensor(sizes, device=device),
        torch.tensor(counts, device=device),
    )
    return out


@lru_cache(maxsize=4)
def encoder_of(folder: Path, head: Path) -> Encoder:
    """The encoder of a folder and a head, loaded once."""
    return Encoder(folder, head)
