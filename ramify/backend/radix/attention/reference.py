"""Attention of one group in plain torch, on any device: the oracle of the faster kernels."""

from __future__ import annotations

import torch
from torch import Tensor


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
    """Softmax attention and the log-sum-exp (natural log) of its scores.

    query [B, R, Hq, D], key [B, K, Hkv, D], value [B, K, Hkv, Dv], mask [B, R, K] additive float;
    returns out [B, R, Hq, Dv] in the query's dtype and lse [B, R, Hq] in float32. A row that sees
    nothing has out 0 and lse -inf.
    """
    batch, rows, heads, _ = query.shape
    groups = heads // key.shape[2]
    folded = query.reshape(batch, rows, key.shape[2], groups, -1).float()  # [B, R, Hkv, G, D]
    scores = torch.einsum("brhgd,bkhd->bhgrk", folded, key.float()) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if causal:
        ahead = torch.ones(rows, key.shape[1], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(ahead, float("-inf"))
    if mask is not None:
        scores = scores + mask[:, None, None]
    lse = torch.logsumexp(scores, -1, keepdim=True)
    weights = torch.exp(scores - torch.where(lse == float("-inf"), 0.0, lse))
    out = torch.einsum("bhgrk,bkhd->brhgd", weights, value.float())
    lse = lse.squeeze(-1).permute(0, 3, 1, 2)  # [B, R, Hkv, G]
    return out.reshape(batch, rows, heads, -1).to(query.dtype), lse.reshape(batch, rows, heads)
