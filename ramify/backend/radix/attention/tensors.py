"""A layout as tensors on the model's device, once per step and sliding window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ramify.backend.radix.layout import Group, Layout
from ramify.backend.radix.slots import NO_SLOTS, IntArray

BoolArray = NDArray[np.bool_]


@dataclass(slots=True)
class TensorGroup:
    """What a kernel needs of a group: B problems of R rows by K keys."""

    batch: int
    gather: Tensor | slice | None  # [B*R] rows of the step, from T on turned copies of them (see
    # `StepLayout.turned`); None: all T in order
    keys: Tensor | slice  # [B*K] slots, or a run of slots (then B is 1)
    mask: Tensor | None  # [B, R, K] float: 0 or -inf; None: every row sees every key
    causal: bool  # B is 1, R equals K, row i sees keys 0..i (mask is None)
    dead: Tensor | None  # [B, R] bool: rows that see nothing at all
    take: Tensor | None  # [n] results that count, of B*R; None: all
    rows: Tensor | None  # [n] the rows that they belong to; None: all of the step in order
    stack: int = 1  # the results are those of n/stack rows by so many parts of their keys


class StepLayout:
    """A layout whose groups become tensors when a layer first asks for them."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self.layout = layout
        self._device = device
        self._made: dict[int | None, tuple[list[TensorGroup], list[TensorGroup]]] = {}
        self._turned_at: dict[int, int] = {}  # id of a shifted group: its first turned row
        rows, shifts, count = [NO_SLOTS], [NO_SLOTS], layout.total
        for group in layout.shared:
            if group.shift is not None:
                self._turned_at[id(group)] = count
                rows.append(group.rows.reshape(-1))
                shifts.append(np.repeat(group.shift, group.rows.shape[1]))
                count += group.rows.size
        self.turned = np.concatenate(rows), np.concatenate(shifts)  # [E] rows and their shifts

    def groups(self, window: int | None) -> tuple[list[TensorGroup], list[TensorGroup]]:
        """Own and shared groups for layers with this sliding window (None: full attention)."""
        if window not in self._made:
            own = [self._make(group, window) for group in self.layout.own]
            shared = [self._make(group, window) for group in self.layout.shared]
            seen = [g for g in shared if g is not None]
            self._made[window] = ([g for g in own if g is not None], seen)
        return self._made[window]

    def _make(self, group: Group, window: int | None) -> TensorGroup | None:
        turned_at = self._turned_at.get(id(group))
        if window is not None:
            trimmed = _trim(group, window)
            if trimmed is None:
                return None
            group = trimmed
        batch, width = group.rows.shape
        causal = group.own and width > 1
        one = batch == 1 and width == group.keys.shape[1]
        sees = _sees(group, window, causal=causal and not one)
        flat = group.rows.reshape(-1)
        real = np.arange(width) < group.row_counts[:, None]
        take = None if real.all() else np.flatnonzero(real)
        rows = flat if take is None else flat[take]
        dead: BoolArray | None = None if sees is None else np.logical_not(sees.any(2))
        gather = None if self._is_all(flat) else self._tensor(flat)
        if turned_at is not None:
            rows = group.rows[0]
        return TensorGroup(
            batch,
            gather if turned_at is None else slice(turned_at, turned_at + len(flat)),
            _run(group.keys) or self._tensor(group.keys.reshape(-1)),
            None if sees is None else self._additive(sees),
            causal and one and sees is None,
            self._tensor(dead) if dead is not None and dead.any() else None,
            None if take is None else self._tensor(take),
            None if self._is_all(rows) else self._tensor(rows),
            1 if turned_at is None else batch,
        )

    def _is_all(self, rows: IntArray) -> bool:
        return len(rows) == self.layout.total and bool((rows == np.arange(len(rows))).all())

    def _tensor(self, array: IntArray | BoolArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _additive(self, sees: BoolArray) -> Tensor:
        mask = np.where(sees, np.float32(0), np.float32(-np.inf))
        return torch.from_numpy(mask).to(self._device)


def _run(keys: IntArray) -> slice | None:
    """The keys as a slice, where there is one problem and its slots are neighbours in order."""
    if len(keys) != 1:
        return None
    first, last = int(keys[0, 0]), int(keys[0, -1])
    count = keys.shape[1]
    if last - first + 1 != count or (count > 1 and not (np.diff(keys[0]) == 1).all()):
        return None
    return slice(first, last + 1)


def _trim(group: Group, window: int) -> Group | None:
    """Leave out the keys of a single problem that lie before every row's window."""
    if len(group.keys) > 1:
        return group
    keep = group.key_at[0] > group.row_at.min() - window
    if keep.all():
        return group
    if not keep.any():
        return None
    return Group(
        group.rows, group.keys[:, keep], group.row_at, group.key_at[:, keep],
        group.row_counts, np.array([int(keep.sum())]), group.own, group.shift,
    )  # fmt: skip


def _sees(group: Group, window: int | None, *, causal: bool) -> BoolArray | None:
    """[B, R, K] which row sees which key; None where all see all, or plainly causal."""
    key_at, row_at = group.key_at[:, None, :], group.row_at[:, :, None]
    padded = (group.key_counts < group.keys.shape[1]).any()
    outside = window is not None and bool(
        (group.key_at.min(1) <= row_at.max((1, 2)) - window).any()
    )
    if not (padded or outside or causal):
        return None
    sees = key_at <= row_at
    if padded:
        sees &= np.arange(group.keys.shape[1]) < group.key_counts[:, None, None]
    if window is not None:
        sees &= key_at > row_at - window
    return sees
