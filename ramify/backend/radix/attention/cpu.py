"""Attention of one group by the flash kernel that torch has for CPUs; it returns the log-sum-exp.

Query heads that share a KV head are folded into the rows, so that the kernel reads the keys once
per KV head; for a causal chunk they become a batch dimension over the same keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ramify.backend.radix.attention import reference

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def partial(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    mask: Tensor | None = None,
    causal: bool = False,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """As `reference.partial`, except that rows which see nothing have lse 0: the caller knows
    them. Falls back to the reference for what the kernel cannot do."""
    if softcap is not None or key.shape[-1] != value.shape[-1]:
        return reference.partial(
            query, key, value, scale=scale, mask=mask, causal=causal, softcap=softcap
        )
    batch, rows, heads, size = query.shape
    kv_heads = key.shape[2]
    groups = heads // kv_heads
    keys, values = key.transpose(1, 2), value.transpose(1, 2)  # [B, Hkv, K, D]
    folded = query.reshape(batch, rows, kv_heads, groups, size)
    if causal:
        by_group = folded[0].permute(2, 1, 0, 3)  # [G, Hkv, R, D]
        shape = (groups, *keys.shape[1:])
        out, lse = _flash(
            by_group, keys.expand(shape), values.expand(shape), 0.0, True, scale=scale
        )
        out, lse = out.permute(2, 1, 0, 3), lse.permute(2, 1, 0)  # [R, Hkv, G, D]
    else:
        flat = folded.transpose(1, 2).reshape(batch, kv_heads, rows * groups, size)
        if mask is not None:
            mask = mask.to(query.dtype)[:, None, :, None]  # [B, 1, R, 1, K]
            mask = mask.expand(-1, -1, -1, groups, -1).flatten(2, 3)
        out, lse = _flash(flat, keys, values, 0.0, False, attn_mask=mask, scale=scale)
        out = out.reshape(batch, kv_heads, rows, groups, size).transpose(1, 2)
        lse = lse.reshape(batch, kv_heads, rows, groups).transpose(1, 2)
    return out.reshape(batch, rows, heads, size), lse.reshape(batch, rows, heads).float()
