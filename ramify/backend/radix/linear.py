"""A linear layer for few rows: several weights in one, laid out beforehand where that helps."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Linear:
    """x [T, in] to [T, out of all parts]; the parts' weights are stacked into one.

    On CPUs, bfloat16 weights are kept in the layout of oneDNN's kernels: plain ones are laid out
    anew at every call, which costs more than the product where there are few rows.
    """

    def __init__(self, *parts: Any) -> None:
        """`parts`: torch.nn.Linear layers with the same input."""
        weight = torch.cat([part.weight.detach() for part in parts])
        biases = [part.bias for part in parts]
        self._bias = None if biases[0] is None else torch.cat([b.detach() for b in biases])
        self._packed = weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and _packs()
        if self._packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        if not self._packed:
            return F.linear(x, self._weight, self._bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, "none", [], ""
        )
        return out


def _packs() -> bool:
    """Whether this torch has the operators for prepacked weights (they are not public)."""
    needed = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    there = all(hasattr(torch.ops.mkldnn, name) for name in needed)
    return there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
