"""Attention of one layer over all groups of a step."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ramify.backend.radix.attention import cpu, reference
from ramify.backend.radix.attention.tensors import StepLayout, TensorGroup


class Kernel(Protocol):
    """Attention of one group; see `reference.partial`."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        mask: Tensor | None = None,
        causal: bool = False,
        softcap: float | None = None,
    ) -> tuple[Tensor, Tensor]: ...


def kernel_for(device: torch.device) -> Kernel:
    """The fastest kernel that there is for a device."""
    return cpu.partial if device.type == "cpu" else reference.partial


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    step: StepLayout,
    kernel: Kernel,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Every row's attention over what it sees.

    query [T + E, Hq, D], behind the T rows their turned copies (`StepLayout.turned`); keys
    [slots, Hkv, D] and values [slots, Hkv, Dv] of one layer; sinks [Hq] are extra scores in the
    softmax's sum (gpt-oss). Returns [T, Hq, Dv].
    """
    own, shared = step.groups(window)
    given, query = query, query[: step.layout.total]

    def run(group: TensorGroup) -> tuple[Tensor, Tensor]:
        rows = query if group.gather is None else given[group.gather]
        if isinstance(group.keys, slice):
            k, v = keys[group.keys], values[group.keys]
        else:
            k, v = keys.index_select(0, group.keys), values.index_select(0, group.keys)
        out, lse = kernel(
            rows.reshape(group.batch, -1, *rows.shape[1:]),
            k.view(group.batch, -1, *k.shape[1:]),
            v.view(group.batch, -1, *v.shape[1:]),
            scale=scale, mask=group.mask, causal=group.causal, softcap=softcap,
        )  # fmt: skip
        if group.dead is not None:
            lse = lse.masked_fill(group.dead[..., None], float("-inf"))
        if group.stack > 1:
            return combine(out, lse)
        out, lse = out.flatten(0, 1), lse.flatten(0, 1)
        return (out, lse) if group.take is None else (out[group.take], lse[group.take])

    # Own groups come first: every row sees itself, so from then on every lse is finite.
    if len(own) == 1 and own[0].rows is None:
        total, total_lse = run(own[0])
    else:
        total = query.new_empty((*query.shape[:2], values.shape[-1]))
        total_lse = torch.empty(query.shape[:2], dtype=torch.float32, device=query.device)
        for group in own:
            assert group.rows is not None
            total[group.rows], total_lse[group.rows] = run(group)
    if shared:
        total = total.float()
    for group in shared:
        part, part_lse = run(group)
        if (at := group.rows) is None:
            total, total_lse = merge(total, total_lse, part, part_lse)
        else:
            total[at], total_lse[at] = merge(total[at], total_lse[at], part, part_lse)
    if sinks is not None:
        total = total * torch.sigmoid(total_lse - sinks.float())[..., None]
    return total.to(query.dtype)


def merge(out: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Two attentions over disjoint keys as one over all of them. `lse` must be finite."""
    weight = torch.sigmoid(part_lse - lse)[..., None]
    return torch.lerp(out.float(), part.float(), weight), torch.logaddexp(lse, part_lse)


def combine(out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attentions of the same rows over B disjoint parts of their keys as one over all of them.

    out [B, R, Hq, Dv], lse [B, R, Hq]; returns [R, Hq, Dv] in float32 and [R, Hq]. A row that sees
    nothing in any part has lse -inf.
    """
    total = torch.logsumexp(lse, 0)
    weight = torch.exp(lse - total.masked_fill(total == float("-inf"), 0.0))
    return (out.float() * weight[..., None]).sum(0), total
