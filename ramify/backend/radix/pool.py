"""The KV of every slot, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ramify.backend.radix.slots import IntArray

_PAGE = 2 << 20  # bytes of a large page of memory, mostly


class KVPool:
    """Keys and values `[slots, heads, size]` per layer; layers may differ in shape.

    A layer's tensors are made when its first keys come. They are not cleared: nothing may read a
    slot that was not written.
    """

    def __init__(self, slots: int, device: torch.device, *, pinned: bool = False) -> None:
        """`pinned` memory of the host is copied to and from a GPU faster."""
        self.slots = slots
        self.device = device
        self._pinned = pinned
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store key and value `[T, heads, size]`; returns all keys and values of the layer."""
        keys, values = held = self.layer(layer, key.shape[1:], value.shape[1:], key.dtype)
        keys.index_copy_(0, slots, key)
        values.index_copy_(0, slots, value)
        return held

    def layer(
        self, layer: int, key: Sequence[int], value: Sequence[int], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, made on first use; of one slot they are `key` and
        `value` (heads, size)."""
        held = self._layers.get(layer)
        if held is None:
            held = self._empty(key, dtype), self._empty(value, dtype)
            self._layers[layer] = held
        return held

    def _empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        size = (self.slots, *shape)
        count = math.prod(size) * dtype.itemsize
        if self.device.type != "cpu" or self._pinned or count < _PAGE:
            return torch.empty(size, dtype=dtype, device=self.device, pin_memory=self._pinned)
        room = torch.empty(count + _PAGE, dtype=torch.uint8, device=self.device)
        start = -room.data_ptr() % _PAGE
        return room[start : start + count].view(dtype).view(size)

    @torch.inference_mode()
    def read(self, slots: IntArray) -> list[tuple[Tensor, Tensor]]:
        """Copies of the keys and values `[T, heads, size]` of these slots, on the host."""
        here = torch.from_numpy(slots).to(self.device)
        pairs = (self._layers[layer] for layer in sorted(self._layers))
        return [(keys[here].cpu(), values[here].cpu()) for keys, values in pairs]

    @torch.inference_mode()
    def fill(self, slots: IntArray, layers: list[tuple[Tensor, Tensor]]) -> None:
        """Write what `read` gave, of these slots or of others.

        Raises ValueError where it does not fit the layers that are here.
        """
        there = torch.from_numpy(slots).to(self.device)
        for layer, (key, value) in enumerate(layers):
            held = self.layer(layer, key.shape[1:], value.shape[1:], key.dtype)
            for own, new in zip(held, (key, value), strict=True):
                if own.dtype != new.dtype or own.shape[1:] != new.shape[1:]:
                    raise ValueError(f"layer {layer} is {own.dtype} {list(own.shape[1:])}")
            self.write(layer, there, key.to(self.device), value.to(self.device))

    @torch.inference_mode()
    def copy_to(self, other: KVPool, slots: IntArray, to: IntArray) -> None:
        """Copy the KV of these slots into those of another pool; done when it returns."""
        here = torch.from_numpy(slots).to(self.device)
        there = torch.from_numpy(to).to(other.device)
        for layer, (keys, values) in self._layers.items():
            key, value = keys[here].to(other.device), values[here].to(other.device)
            other.write(layer, there, key, value)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot in all layers that have been written."""
        return sum(t[0].nbytes for pair in self._layers.values() for t in pair)

    @property
    def layers(self) -> int:
        """Layers that have been written."""
        return len(self._layers)

    def check(self) -> None:
        """Raise AssertionError where a layer's tensors do not fit the pool."""
        for keys, values in self._layers.values():
            assert len(keys) == len(values) == self.slots
            assert keys.shape[1] == values.shape[1]
