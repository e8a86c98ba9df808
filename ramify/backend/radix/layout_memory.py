"""The last layout, remembered: a decode step that goes on where the last one stopped shares what
that one shared, and each of its rows reads one key more. Looking for shared runs again would find
the same ones."""

from __future__ import annotations

import numpy as np

from ramify.backend.radix.layout import Group, Layout, Span, build_layout
from ramify.backend.radix.slots import IntArray


class LayoutMemory:
    """Gives the layouts of steps that come one after the other; see `build_layout` for `pays`.

    It knows a sequence by its buffer of slots: what such a buffer holds before a span's start must
    not change afterwards.
    """

    def __init__(self, *, pays: int) -> None:
        self._pays = pays
        self._spans: list[Span] = []
        self._layout: Layout | None = None

    def of(self, spans: list[Span]) -> Layout:
        """The layout of a step."""
        layout = self._layout
        if layout is not None and _goes_on(spans, self._spans):
            layout = _grown(layout, spans)
        else:
            layout = build_layout(spans, pays=self._pays)
        self._spans, self._layout = spans, layout
        return layout


def _goes_on(spans: list[Span], last: list[Span]) -> bool:
    """Whether these are the sequences of the last step, each of one row, and each one row on."""
    return len(spans) == len(last) and all(
        new.slots is old.slots
        and new.start == old.stop == old.start + 1
        and new.stop == new.start + 1
        and new.shift is None is old.shift
        for new, old in zip(spans, last, strict=True)
    )


def _grown(layout: Layout, spans: list[Span]) -> Layout:
    at = np.array([span.start for span in spans])
    slots = np.array([span.slots[span.start] for span in spans])
    shared = [
        Group(
            group.rows, group.keys, group.row_at + 1, group.key_at, group.row_counts,
            group.key_counts, own=False,
        )
        for group in layout.shared
    ]  # fmt: skip
    own = [
        Group(
            group.rows, _with(group.keys, group.key_counts, slots[group.rows[:, 0]]),
            group.row_at + 1, _with(group.key_at, group.key_counts, at[group.rows[:, 0]]),
            group.row_counts, group.key_counts + 1, own=True,
        )
        for group in layout.own
    ]  # fmt: skip
    return Layout(layout.total, own, shared)


def _with(padded: IntArray, counts: IntArray, values: IntArray) -> IntArray:
    """A value more behind the first `counts` of each row; rows stay filled up by their first."""
    found = np.empty((len(padded), padded.shape[1] + 1), np.int64)
    found[:, :-1] = padded
    found[:, -1] = padded[:, 0]
    found[np.arange(len(found)), counts] = values
    return found
