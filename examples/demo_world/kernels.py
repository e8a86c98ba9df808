"""Pointwise steps of training with their derivatives, each one pass over memory when compiled.

Plain torch; `compile_all()` has torch.compile write loops for them (about a minute, C++ compiler
needed), which saves a third of a training step on a CPU. Same results either way.
"""

from __future__ import annotations

from typing import Any

import torch

HALF = torch.bfloat16
Tensors = tuple[torch.Tensor, ...]


def norm_forward(x: torch.Tensor, weight: torch.Tensor, eps: float) -> Tensors:
    """RMS norm of x [tokens, width], float32: the result in bf16, and the scale of each token."""
    scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)
    return (x * scale * weight).to(HALF), scale


def norm_backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
) -> Tensors:
    """Gradients of x and of weight."""
    unit, rough = x * scale, grad.float()
    inner = rough * weight
    along = (inner * unit).mean(-1, keepdim=True)
    return (inner - unit * along) * scale, (rough * unit).sum(0)


def gate_forward(both: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up of both [tokens, 2 * width], bf16."""
    gate, up = both.float().chunk(2, -1)
    return (gate * torch.sigmoid(gate) * up).to(HALF)


def gate_backward(grad: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
    """Gradient of both."""
    gate, up = both.float().chunk(2, -1)
    grad = grad.float()
    open_ = torch.sigmoid(gate)
    passed = gate * open_
    slope = open_ + passed - passed * open_
    return torch.cat([(grad * up * slope).to(HALF), (grad * passed).to(HALF)], -1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions: x [tokens, heads, width] bf16, cos and sin [tokens, 1, width / 2]."""
    first, second = x.float().chunk(2, -1)
    return torch.cat(
        [(first * cos - second * sin).to(HALF), (second * cos + first * sin).to(HALF)], -1
    )


def softmax_forward(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax of scores + mask over the last dimension, bf16."""
    scores = scores.float() + mask
    high = scores.amax(-1, keepdim=True)
    share = torch.exp(scores - high)
    return (share / share.sum(-1, keepdim=True)).to(HALF)


def softmax_backward(grad: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Gradient of the scores."""
    weighed = grad.float() * share.float()
    return (weighed - share.float() * weighed.sum(-1, keepdim=True)).to(HALF)


KERNELS = (
    norm_forward, norm_backward, gate_forward, gate_backward,
    rotate, softmax_forward, softmax_backward,
)  # fmt: skip
_used: dict[str, Any] = {function.__name__: function for function in KERNELS}


def compile_all() -> None:
    """From now on use compiled kernels, for any sizes."""
    for function in KERNELS:
        _used[function.__name__] = torch.compile(function, dynamic=True)


class Norm(torch.autograd.Function):
    """RMS norm with weights: x [tokens, width] float32 in, bf16 out."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        out: torch.Tensor
        out, scale = _used["norm_forward"](x, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return *_used["norm_backward"](grads[0], *ctx.saved_tensors), None


class Gate(torch.autograd.Function):
    """silu(gate) * up of both halves."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        out: torch.Tensor = _used["gate_forward"](both)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return _used["gate_backward"](grads[0], *ctx.saved_tensors)


class Rotate(torch.autograd.Function):
    """Rotary positions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        out: torch.Tensor = _used["rotate"](x, cos, sin)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return _used["rotate"](grads[0], cos, -sin), None, None


class Softmax(torch.autograd.Function):
    """Softmax of scores + mask."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        share: torch.Tensor = _used["softmax_forward"](scores, mask)
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return _used["softmax_backward"](grads[0], *ctx.saved_tensors), None


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMS norm with weights: x [tokens, width] float32 in, bf16 out."""
    out: torch.Tensor = Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
    return out


def gate(both: torch.Tensor) -> torch.Tensor:
    """silu(first half) * second half of the last dimension."""
    out: torch.Tensor = Gate.apply(both)  # type: ignore[no-untyped-call]
    return out


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions: x [tokens, heads, width], cos and sin [tokens, 1, width / 2]."""
    out: torch.Tensor = Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return out


def softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax of scores + mask over the last dimension, bf16; no gradient for the mask."""
    out: torch.Tensor = Softmax.apply(scores, mask)  # type: ignore[no-untyped-call]
    return out
