"""How a model turns its queries, found by trying: the layers are asked, not their names.

A row that sees nothing but itself has hidden states without a position. Computed at two places,
its queries differ by the layer's rotation alone, so each layer's rotation is the one candidate
that leads from one to the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ramify.backend.radix.families import SWITCHING_ROPE
from ramify.backend.radix.model import Body
from ramify.backend.radix.rope import Rope, Rotation
from ramify.errors import CapabilityError

_ROWS = 8


class _Alone:
    """Stands in for a step: every row sees itself only, and its query is noted."""

    def __init__(self) -> None:
        self.layers: list[int] = []
        self.queries: dict[int, Tensor] = {}
        self.vectors = None

    def insert(self, embedded: Tensor) -> Tensor:
        return embedded

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
        self.layers.append(layer)
        self.queries[layer] = query
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1)


def find_rope(model: Any, body: Body, *, context: int, device: torch.device) -> Rope:
    """The rotation of every layer of a model, which `body` runs.

    Raises CapabilityError, with the reason, for a model whose keys cannot be read at another
    position than their own.
    """
    frequencies = _frequencies(model)
    rows = torch.arange(_ROWS, device=device)
    later = (rows * 7 + context // 2) % context
    shifts = torch.minimum(later, rows % 5 * 3 + 2)
    there = _queries(body, rows, later)
    here = _queries(body, rows, later - shifts)
    kinds = [Rotation(f, interleaved=i) for f in frequencies for i in (False, True)]
    whole = Rope(tuple(kinds), (None, *range(len(kinds))))  # as layers: none, then each kind
    limit = 1e-3 if there[0].dtype == torch.float32 else 0.03
    found: list[int | None] = []
    for layer in range(body.layers):
        query, want = there[layer], here[layer].float()
        errors = []
        for kind in range(len(kinds) + 1):
            fits = kind == 0 or 2 * len(kinds[kind - 1].frequencies) <= query.shape[-1]
            got = whole.turn(kind, query, shifts).float() if fits else torch.zeros_like(want)
            errors.append(float((got - want).norm() / want.norm()))
        best = min(range(len(errors)), key=errors.__getitem__)
        if not errors[best] < limit:
            raise _refused(model, f"the queries of layer {layer} do not just turn with positions")
        found.append(best - 1 if best else None)
    if all(kind is None for kind in found):
        raise _refused(model, "its queries do not turn with positions at all")
    used = sorted({kind for kind in found if kind is not None})
    layers = tuple(None if kind is None else used.index(kind) for kind in found)
    return Rope(tuple(kinds[kind] for kind in used), layers)


def _frequencies(model: Any) -> list[Tensor]:
    """The different frequencies that the model's modules hold."""
    text = model.config.get_text_config(decoder=True)
    rope = getattr(text, "rope_parameters", None) or {}
    for part in [r for r in rope.values() if isinstance(r, dict)] or [rope]:
        if part.get("rope_type") in SWITCHING_ROPE:
            raise _refused(model, f"its rope ({part['rope_type']}) changes with the length")
    if getattr(text, "alibi", False):
        raise _refused(model, "it has ALiBi in place of rotary positions")
    found: list[Tensor] = []
    for name, buffer in model.named_buffers():
        known = any(torch.equal(buffer, other) for other in found)
        if name.endswith("inv_freq") and "original" not in name and not known:
            found.append(buffer.detach().float())
    if not found:
        raise _refused(model, "its positions are learned or absolute, not rotary")
    return found


@torch.inference_mode()
def _queries(body: Body, rows: Tensor, positions: Tensor) -> dict[int, Tensor]:
    alone = _Alone()
    tokens = (rows * 7919 + 11) % body.vocab
    body.logits(tokens, positions, rows[:1], alone)  # type: ignore[arg-type]
    return alone.queries


def _refused(model: Any, why: str) -> CapabilityError:
    return CapabilityError(
        f"{model.config.model_type} cannot read parallel blocks: {why}.",
        hint="Fixed rotary positions are needed (default, linear, llama3 or yarn). "
        'Joins with mode="text" work with every model.',
    )
