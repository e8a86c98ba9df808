"""Parallel blocks by plain transformers: no tree, no slots, no turned queries.

The prompt is run piece by piece with eager attention, a 4-D mask and explicit positions. What a
piece sees is put into its cache as keys and values; where a key stands elsewhere than it was
computed at, the key itself is turned, by the model's own rotary embedding.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ramify.backend.contract import BlockSpan
from tests.backend.radix.harness import plain

MAPPED = ("gemma2", "gemma3", "gpt_oss")  # families that take a mask per kind of layer


@dataclass(frozen=True)
class Cell:
    """A token's KV in every layer, [Hkv, D] each, and the position it was computed at."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    position: int


class Oracle:
    """Reads a prompt with blocks; `logits` are those of the tokens outside of all blocks."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.model = plain(family)
        self.config = self.model.config
        self.logits: list[Tensor] = []

    def read(self, ids: list[int], spans: list[BlockSpan]) -> Tensor:
        """Logits [n, vocab] of the tokens from the last block's end on (all without blocks)."""
        spans = sorted(spans, key=lambda s: (s.start, -s.stop, s.group))
        self.lay(ids, 0, len(ids), spans, [])
        return self.last

    def lay(
        self, ids: list[int], start: int, stop: int, spans: list[BlockSpan], seen: list[Cell]
    ) -> list[Cell]:
        """What a token sees that stands behind `ids[start:stop]`, which stands behind `seen`."""
        outer = [s for s in spans if not any(o is not s and inside(s, o) for o in spans)]
        at = start
        while outer:
            group = [s for s in outer if s.group == outer[0].group]
            outer = outer[len(group) :]
            seen = self.run(ids[at : group[0].start], seen)
            joined: list[Cell] = []
            for number, span in enumerate(group):
                inner = [s for s in spans if s is not span and inside(s, span)]
                branch = self.lay(ids, span.start, span.stop, inner, seen)
                if number == 0:
                    joined = branch
                    continue
                repaired = min(span.start + span.repair, span.stop)
                joined = self.run(ids[span.start : repaired], joined)
                joined = joined + branch[len(seen) + repaired - span.start :]
            seen, at = joined, group[-1].stop
        return self.run(ids[at:stop], seen)

    @torch.inference_mode()
    def run(self, tokens: list[int], seen: list[Cell]) -> list[Cell]:
        if not tokens:
            return seen
        cache, first, size = DynamicCache(), len(seen), len(tokens)
        layers = self.config.num_hidden_layers
        for layer in range(layers if seen else 0):
            shifts = torch.tensor([at - cell.position for at, cell in enumerate(seen)])
            keys = torch.stack([cell.keys[layer] for cell in seen], 1)[None]
            values = torch.stack([cell.values[layer] for cell in seen], 1)[None]
            cache.update(self.turned(keys, shifts, layer), values, layer)
        out = self.model(
            input_ids=torch.tensor([tokens]),
            position_ids=torch.arange(first, first + size)[None],
            past_key_values=cache, use_cache=True, attention_mask=self.mask(first, size),
        )  # fmt: skip
        self.last = out.logits[0]
        made = [
            Cell(
                tuple(layer.keys[0, :, at] for layer in cache.layers),
                tuple(layer.values[0, :, at] for layer in cache.layers),
                at,
            )
            for at in range(first, first + size)
        ]
        return [*seen, *made]

    def mask(self, first: int, size: int) -> Any:
        window = getattr(self.config, "sliding_window", None)
        rows, keys = torch.arange(first, first + size)[:, None], torch.arange(first + size)
        hidden = torch.finfo(torch.float32).min
        full = torch.zeros(size, first + size).masked_fill(keys > rows, hidden)[None, None]
        if window is None:
            return full
        slid = full.masked_fill(keys <= rows - window, hidden)
        if self.family in MAPPED:
            return {"full_attention": full, "sliding_attention": slid}
        return slid

    def turned(self, keys: Tensor, shifts: Tensor, layer: int) -> Tensor:
        """keys [1, Hkv, K, D] computed `shifts` [K] positions before where they stand."""
        inner = getattr(self.model, "model", None) or self.model.gpt_neox
        if self.family == "smollm3" and not self.config.no_rope_layers[layer]:
            return keys
        kind = (self.config.layer_types[layer],) if self.family == "gemma3" else ()
        cos, sin = inner.rotary_emb(keys, shifts[None], *kind)
        code = importlib.import_module(type(self.model).__module__)
        scaling = getattr(inner.rotary_emb, "attention_scaling", 1.0)
        return code.apply_rotary_pos_emb(keys, keys, cos, sin)[1] / scaling


def inside(inner: BlockSpan, outer: BlockSpan) -> bool:
    """Whether a span lies within another one, not beside it."""
    lies = outer.start <= inner.start and inner.stop <= outer.stop
    return (
        lies
        and inner.group != outer.group
        and ((inner.start, inner.stop) != (outer.start, outer.stop) or inner.group > outer.group)
    )
