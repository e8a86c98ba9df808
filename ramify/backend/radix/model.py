"""The model over its KV pool: steps in, logits out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ramify.backend.radix.attention.attend import kernel_for
from ramify.backend.radix.attention.context import StepContext
from ramify.backend.radix.attention.tensors import StepLayout
from ramify.backend.radix.layout import Span
from ramify.backend.radix.layout_memory import LayoutMemory
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.rope import Rope, Turns
from ramify.backend.radix.sampler import Largest
from ramify.backend.radix.slots import IntArray


@dataclass(slots=True)
class Step:
    """The rows of one forward pass; T rows, n of them give logits."""

    tokens: IntArray  # [T]
    positions: IntArray  # [T]
    slots: IntArray  # [T] where each row's KV goes
    wanted: IntArray  # [n] rows whose logits are wanted
    spans: list[Span]
    vectors: tuple[IntArray, NDArray[np.float32]] | None = None  # rows [m] that read vectors [m, W]


class Body(Protocol):
    """The layers of a model; `HFBody` runs any, `FusedBody` some of them faster."""

    layers: int
    vocab: int

    def logits(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Tensor:
        """tokens and positions [T], wanted [n] rows; every layer attends once through `step`.

        Returns [n, vocab].
        """
        ...


@runtime_checkable
class GreedyBody(Body, Protocol):
    """A body that finds the largest logits without writing all of them."""

    def largest(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, step: StepContext
    ) -> Largest:
        """As `logits`; the first of equal ones."""
        ...


class LanguageModel:
    """Runs steps of a model over a KV pool."""

    def __init__(
        self, body: Body, pool: KVPool, *, context: int, pays: int = 512, rope: Rope | None = None
    ) -> None:
        """`context` in tokens; `pays` is the layout's cost rule, see `build_layout`; without a
        `rope` no key can be read at another position than its own."""
        self.body = body
        self.context = context
        self.pool = pool
        self.device = pool.device
        self.rope = rope
        self._pays = pays
        self._layouts = LayoutMemory(pays=pays)
        self._greedy = body if isinstance(body, GreedyBody) else None
        self._kernel = kernel_for(pool.device)

    def over(self, pool: KVPool) -> LanguageModel:
        """The same model over another pool."""
        return LanguageModel(self.body, pool, context=self.context, pays=self._pays, rope=self.rope)

    @torch.inference_mode()
    def forward(self, step: Step) -> Tensor:
        """Logits [n, vocab] of the wanted rows; afterwards the KV of all rows is in the pool."""
        return self.body.logits(*self._inputs(step))

    @torch.inference_mode()
    def largest(self, step: Step) -> Largest:
        """The largest logit of each wanted row; else as `forward`."""
        if self._greedy is not None:
            return self._greedy.largest(*self._inputs(step))
        return Largest.of(self.forward(step))

    def _inputs(self, step: Step) -> tuple[Tensor, Tensor, Tensor, StepContext]:
        layout = StepLayout(self._layouts.of(step.spans), self.device)
        slots = self._tensor(step.slots)
        context = StepContext(self.pool, layout, slots, self._kernel, self._turns(layout))
        tokens = step.tokens
        if step.vectors is not None:
            tokens = np.maximum(tokens, 0)  # vectors have negative numbers: any token will do
            rows, values = step.vectors
            context.vectors = self._tensor(rows), torch.from_numpy(values).to(self.device)
        positions, wanted = self._tensor(step.positions), self._tensor(step.wanted)
        return self._tensor(tokens), positions, wanted, context

    def _turns(self, layout: StepLayout) -> Turns | None:
        rows, shifts = layout.turned
        if not len(rows):
            return None
        assert self.rope is not None, "blocks were laid out for a model that cannot read them"
        return Turns(self.rope, self._tensor(rows), self._tensor(shifts))

    def _tensor(self, array: IntArray) -> Tensor:
        # `to` would hand the interpreter to whoever waits for it, also where nothing moves
        return torch.asarray(np.ascontiguousarray(array), device=self.device)
