"""One step as its layers see it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ramify.backend.radix.attention.attend import Kernel, attend
from ramify.backend.radix.attention.tensors import StepLayout
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.rope import Turns


@dataclass(slots=True)
class StepContext:
    """Where the KV of a step's rows goes, and what its rows see."""

    pool: KVPool
    layout: StepLayout
    slots: Tensor  # [T]
    kernel: Kernel
    turns: Turns | None = None  # of the layout's turned rows, where there are any
    vectors: tuple[Tensor, Tensor] | None = None  # rows [m] and what they read [m, W]
    layers: list[int] = field(default_factory=list)  # layers that have attended, in order

    def insert(self, embedded: Tensor) -> Tensor:
        """The embedded tokens [T, W], with the step's vectors in their places."""
        if self.vectors is None:
            return embedded
        rows, values = self.vectors
        return embedded.index_copy(0, rows, values.to(embedded.dtype))

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None = None,
        softcap: float | None = None,
        sinks: Tensor | None = None,
    ) -> Tensor:
        """Store key and value [T, Hkv, D] of a layer, then attend: query [T, Hq, D] after rope.

        Returns [T, Hq, Dv].
        """
        self.layers.append(layer)
        if self.turns is not None:
            query = torch.cat((query, self.turns.of(layer, query)))
        keys, values = self.pool.write(layer, self.slots, key, value)
        return attend(
            query, keys, values, self.layout, self.kernel,
            scale=scale, window=window, softcap=softcap, sinks=sinks,
        )  # fmt: skip
