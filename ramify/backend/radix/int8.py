"""Linear layers with int8 weights, one scale per output channel; made when a model is loaded.

The rows that come in are quantized too, each by its own largest value, and the product is one of
integers (as in LLM.int8(), arXiv:2208.07339, without its outliers). Every row has a scale of its
own, so what a row gives depends on no other row: an answer does not change with its company.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ramify.errors import ModelLoadError

_SMALLEST = 1e-12  # of a row's scale: rows of zeros stay zeros


class Int8Linear:
    """x [T, in] to [T, out of all parts] in x's dtype; the parts' weights are stacked into one."""

    def __init__(self, *parts: Any) -> None:
        """`parts`: torch.nn.Linear layers, or transformers' Conv1D, with the same input."""
        weight = torch.cat([_weight(part) for part in parts]).float()  # [out, in]
        biases = [part.bias for part in parts]
        self._bias = None if biases[0] is None else torch.cat([b.detach() for b in biases])
        self._scale = (weight.abs().amax(1) / 127).clamp_(min=_SMALLEST)
        weight = (weight / self._scale[:, None]).round_().to(torch.int8)
        self.outs = len(weight)
        self.nbytes = weight.nbytes + self._scale.nbytes
        self.nbytes += 0 if self._bias is None else self._bias.nbytes
        self._zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
        self._packed = weight.device.type == "cpu" and has_kernel()
        self._weight = torch.ops.onednn.qlinear_prepack(weight, None) if self._packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        rows, scale = quantize_rows(x)
        if self._packed:
            out = torch.ops.onednn.qlinear_pointwise(
                rows, 1 / 127, 0, self._weight, self._scale, self._zero, None, 1.0, 0, x.dtype,
                "none", [], "",
            )  # fmt: skip
        else:
            out = F.linear(rows.float(), self._weight.float()) * (self._scale / 127)
            out = out.to(x.dtype)
        return out.mul_(scale) if self._bias is None else torch.addcmul(self._bias, out, scale)


class Int8Module(nn.Module):
    """An `Int8Linear` in the place of a linear module."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.linear = Int8Linear(part)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], self.linear.outs)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [T, in] as integers of -127 to 127, and the largest absolute value of each row [T, 1]."""
    scale = x.abs().amax(-1, keepdim=True).clamp_(min=_SMALLEST)
    return torch.mul(x, 127 / scale.float()).round_().to(torch.int8), scale


def quantize_modules(model: Any, *, head: bool) -> None:
    """Put int8 weights in the place of all linear modules, the LM head's only with `head`.

    Raises ModelLoadError where most of the weights are not in linear modules.
    """
    check_linear(model)
    last = model.get_output_embeddings()
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if _is_linear(part) and (head or part is not last):
                setattr(module, name, Int8Module(part))


def check_linear(model: Any) -> None:
    """Raise ModelLoadError where quantizing the linear modules leaves most weights as they are."""
    inside = sum(p.weight.numel() for p in model.modules() if _is_linear(p))
    kept = sum(
        p.numel() for module in model.modules() if not _is_linear(module) and not _is_table(module)
        for p in module.parameters(recurse=False)
    )  # fmt: skip
    if kept > inside:
        raise ModelLoadError(
            f"quantize='int8' would leave {kept:,} of {kept + inside:,} weights of "
            f"{type(model).__name__} as they are: they are in no linear module.",
            hint="Mixtures of experts are not quantized; open the model without quantize.",
        )


def weight_bytes(model: Any, quantize: str) -> int:
    """Bytes of a model's weights, as they are or once they are quantized. Tied weights count once;
    a quantized LM head is no longer tied."""
    head = model.get_output_embeddings()
    parts = [p for p in model.modules() if _is_linear(p) and (quantize == "int8" or p is not head)]
    if quantize == "none":
        parts = []
    gone = {id(p.weight) for p in parts}
    table = model.get_input_embeddings().weight
    kept: int = sum(p.nbytes for p in model.parameters() if id(p) not in gone or p is table)
    made: int = sum(p.weight.numel() + 4 * len(_weight(p)) for p in parts)
    return kept + made


def has_kernel() -> bool:
    """Whether this torch has oneDNN's operator for integer products (it is not public)."""
    names = ("qlinear_prepack", "qlinear_pointwise")
    return all(hasattr(torch.ops.onednn, name) for name in names)


def _is_linear(module: Any) -> bool:
    return type(module) is nn.Linear or type(module).__name__ == "Conv1D"


def _is_table(module: Any) -> bool:
    return isinstance(module, nn.Embedding)


def _weight(part: Any) -> Tensor:
    """The weight of a linear module as [out, in]; Conv1D of transformers keeps it transposed."""
    weight: Tensor = part.weight.detach()
    return weight if isinstance(part, nn.Linear) else weight.t()
