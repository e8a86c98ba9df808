"""A layout as flat arrays for the compiled kernels: problems one after the other, no padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ramify.backend.radix.layout import Group, Layout

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows` and `keys` of problem i are those from `row_from[i]` or `key_from[i]` up to the next
    one's; `own` says whether keys may lie behind a row."""

    row_from: Int32Array  # [P + 1]
    rows: Int32Array  # of the step
    row_at: Int32Array  # positions
    key_from: Int32Array  # [P + 1]
    keys: Int32Array  # slots
    key_at: Int32Array  # positions
    shift: Int32Array  # [P], see `Group.shift`
    own: NDArray[np.uint8]  # [P]

    @classmethod
    def of(cls, layout: Layout) -> Plan:
        """The problems of all groups."""
        groups = _with_pasts(layout)
        row_counts = np.concatenate([group.row_counts for group in groups])
        key_counts = np.concatenate([group.key_counts for group in groups])
        return cls(
            _offsets(row_counts),
            _joined([_real(group.rows, group.row_counts) for group in groups]),
            _joined([_real(group.row_at, group.row_counts) for group in groups]),
            _offsets(key_counts),
            _joined([_real(group.keys, group.key_counts) for group in groups]),
            _joined([_real(group.key_at, group.key_counts) for group in groups]),
            _joined([_shift(group) for group in groups]),
            np.concatenate([np.full(len(g.rows), g.own, np.uint8) for g in groups]),
        )

    def check(self) -> None:
        """Raise AssertionError where the arrays do not fit each other."""
        for offsets, *arrays in (
            (self.row_from, self.rows, self.row_at), (self.key_from, self.keys, self.key_at),
        ):  # fmt: skip
            assert len(offsets) == len(self.own) + 1 == len(self.shift) + 1
            assert offsets[0] == 0
            assert (np.diff(offsets) > 0).all()
            assert all(len(array) == offsets[-1] for array in arrays)


def _with_pasts(layout: Layout) -> list[Group]:
    """All groups; rows of one sequence that read its past by themselves read it in one problem with
    their own keys, so that there is nothing to merge."""
    pasts = {
        (int(group.rows[0, 0]), group.rows.shape[1]): group
        for group in layout.shared
        if len(group.rows) == 1 and group.shift is None
    }
    own, joined = [], set()
    for group in layout.own:
        past = pasts.get((int(group.rows[0, 0]), group.rows.shape[1]))
        if len(group.rows) == 1 and past is not None and np.array_equal(past.rows, group.rows):
            joined.add(id(past))
            group = Group(
                group.rows, np.concatenate((past.keys, group.keys), 1), group.row_at,
                np.concatenate((past.key_at, group.key_at), 1), group.row_counts,
                past.key_counts + group.key_counts, own=True,
            )  # fmt: skip
        own.append(group)
    return [*own, *(group for group in layout.shared if id(group) not in joined)]


def _real(padded: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    if (counts == padded.shape[1]).all():
        return padded.reshape(-1)
    return padded[np.arange(padded.shape[1]) < counts[:, None]]


def _shift(group: Group) -> NDArray[np.int64]:
    return np.zeros(len(group.rows), np.int64) if group.shift is None else group.shift


def _offsets(counts: NDArray[np.int64]) -> Int32Array:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)


def _joined(parts: list[NDArray[np.int64]]) -> Int32Array:
    return np.concatenate(parts).astype(np.int32)
