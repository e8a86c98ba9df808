"""A layout that grew from the last one against one that is built anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix import layout_memory
from ramify.backend.radix.layout import Layout, Span, build_layout
from ramify.backend.radix.layout_memory import LayoutMemory
from tests.backend.radix.test_attention import SLOTS, spans

MORE = 6  # steps behind the first


def read_by(layout: Layout) -> dict[int, list[tuple[int, int, int]]]:
    """Per row of a step: the slots that it reads with their positions and its own."""
    found: dict[int, list[tuple[int, int, int]]] = {row: [] for row in range(layout.total)}
    for group in (*layout.own, *layout.shared):
        for b in range(len(group.rows)):
            count = group.key_counts[b]
            assert (group.keys[b, count:] == group.keys[b, 0]).all(), "filled up by its first"
            assert (group.key_at[b, count:] == group.key_at[b, 0]).all()
            keys = list(zip(group.keys[b, :count], group.key_at[b, :count], strict=True))
            for i in range(group.row_counts[b]):
                row, at = int(group.rows[b, i]), int(group.row_at[b, i])
                seen = [(slot, key_at, at) for slot, key_at in keys if key_at <= at]
                found[row] += [(int(slot), int(key_at), at) for slot, key_at, at in seen]
    return {row: sorted(seen) for row, seen in found.items()}


@settings(max_examples=100, deadline=None)
@given(
    made=spans(),
    pays=st.sampled_from([1, 8, 10_000]),
    what=st.lists(st.sampled_from(["go on", "go on", "leave", "copy", "wide"]), max_size=MORE),
)
def test_it_reads_what_a_new_layout_reads(made: list[Span], pays: int, what: list[str]) -> None:
    memory = LayoutMemory(pays=pays)
    now = []
    for number, span in enumerate(made):  # from here on each sequence has slots of its own
        own = SLOTS + number * 2 * MORE + np.arange(2 * MORE)
        now.append(Span(np.concatenate((span.slots, own)), span.stop, span.stop + 1))
    for step in ["go on", *what]:
        if step == "leave" and len(now) > 1:
            now = now[1:]
        if step == "copy":  # another buffer: what it holds may be other slots
            slots = now[0].slots.copy()
            slots[: now[0].start] = slots[: now[0].start][::-1]
            now[0] = Span(slots, now[0].start, now[0].stop)
        if step == "wide":
            now[-1] = Span(now[-1].slots, now[-1].start, now[-1].stop + 1)
        found = memory.of(now)
        found.check()
        assert read_by(found) == read_by(build_layout(now, pays=pays))
        now = [Span(span.slots, span.stop, span.stop + 1) for span in now]


def test_steps_that_go_on_are_not_laid_out_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    slots = [np.concatenate((np.arange(40), 100 * i + np.arange(100, 120))) for i in range(3)]
    memory, built = LayoutMemory(pays=8), []
    monkeypatch.setattr(
        layout_memory, "build_layout", lambda *a, **k: built.append(1) or build_layout(*a, **k)
    )
    for start in range(45, 55):
        memory.of([Span(each, start, start + 1) for each in slots])
    assert len(built) == 1
    memory.of([Span(each, 55, 56, np.zeros(60, np.int64)) for each in slots])
    assert len(built) == 2, "shifts may differ"
