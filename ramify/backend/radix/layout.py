"""One step's attention as groups: query rows by KV slots, built once and used by all layers.

Rows of several sequences that read the same slots read them once: a *shared* group. What a row
reads besides (its own tail, and itself) is its *own* group. The parts are merged by log-sum-exp
(as in FlashInfer's cascade and Hydragen, arXiv:2402.05099). Sharing is found by comparing slot
numbers, so the layout needs to know nothing of the tree.

Keys that are read at another position than they were computed at (parallel blocks) are groups of
their own, because their queries are turned: `Group.shift`, see `rope`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ramify.backend.radix.slots import IntArray

WIDE = 32  # rows of one span from which causal attention without a mask pays


@dataclass(frozen=True, slots=True)
class Span:
    """The query rows `start..stop-1` of a sequence; `slots` holds at least `stop` slots.

    `shift` has one number for each position before `start` at least: by how much it lies behind
    the position that its KV was computed at. None: nowhere.
    """

    slots: IntArray
    start: int
    stop: int
    shift: IntArray | None = None

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(slots=True)
class Group:
    """B problems of R rows by K keys. Problem b has `row_counts[b]` real rows and `key_counts[b]`
    real keys; the rest repeats real ones and is masked or thrown away."""

    rows: IntArray  # [B, R] index of the row in the step
    keys: IntArray  # [B, K] slots
    row_at: IntArray  # [B, R] positions
    key_at: IntArray  # [B, K] positions
    row_counts: IntArray  # [B]
    key_counts: IntArray  # [B]
    own: bool  # keys may lie behind a row: causal
    shift: IntArray | None = None  # [B] of a shared group: all keys of problem b have this shift;
    # the B problems are the same rows by other keys, and none of the rows is padding


@dataclass(slots=True)
class Layout:
    """`own` groups cover every row exactly once; `shared` groups add what rows see besides."""

    total: int  # rows of the step
    own: list[Group] = field(default_factory=list)
    shared: list[Group] = field(default_factory=list)

    def check(self) -> None:
        """Raise AssertionError where a row is not in exactly one own group."""
        seen = np.zeros(self.total, np.int64)
        for group in self.own:
            for rows, count in zip(group.rows, group.row_counts, strict=True):
                np.add.at(seen, rows[:count], 1)
        assert (seen == 1).all()


def build_layout(spans: list[Span], *, pays: int) -> Layout:
    """The groups of a step.

    `pays` is the cost rule: a shared run of m slots read by n sequences becomes a group of its
    own if (n - 1) * m >= pays, in tokens; otherwise each sequence reads it by itself.
    """
    offsets = np.cumsum([0, *map(len, spans)])
    layout = Layout(int(offsets[-1]))
    pieces: list[list[tuple[int, int]]] = [[] for _ in spans]  # positions read by itself
    shifted: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    for members, start, stop in shared_runs(spans):
        shift = _shift_at(spans[members[0]], start)
        if shift:
            shifted.setdefault(tuple(members), []).append((start, stop, shift))
        elif len(members) > 1 and (len(members) - 1) * (stop - start) >= pays:
            layout.shared.append(_shared_group(spans, members, offsets, start, stop))
        else:
            for i in members:
                pieces[i].append((start, stop))
    narrow = []
    for i, span in enumerate(spans):
        if len(span) < WIDE:
            narrow.append(i)
            continue
        layout.own.append(_padded(spans, [i], [[]], offsets))
        if pieces[i]:
            layout.shared.append(_past_group(span, offsets[i], pieces[i]))
    for bucket in _buckets(spans, narrow, pieces):
        layout.own.append(_padded(spans, bucket, [pieces[i] for i in bucket], offsets))
    for members_of, runs in shifted.items():
        for same in _similar(runs):
            layout.shared.append(_shifted_group(spans, list(members_of), offsets, same))
    return layout


def shared_runs(spans: list[Span]) -> list[tuple[list[int], int, int]]:
    """Cut the pasts of all spans into runs (spans that share it, start, stop), in order.

    All positions of a run have the same shift.
    """
    runs = []
    todo = [(list(range(len(spans))), 0)]
    while todo:
        members, at = todo.pop()
        by_slot: dict[tuple[int, int], list[int]] = {}
        for i in members:
            if spans[i].start > at:
                key = int(spans[i].slots[at]), _shift_at(spans[i], at)
                by_slot.setdefault(key, []).append(i)
        for same in by_slot.values():
            stop = min(_even_until(spans[i], at) for i in same)
            if len(same) > 1:
                slots = np.array([spans[i].slots[at:stop] for i in same])
                differs = (slots[1:] != slots[0]).any(0)
                stop = at + int(differs.argmax()) if differs.any() else stop
            runs.append((same, at, stop))
            if any(spans[i].start > stop for i in same):
                todo.append((same, stop))
    return sorted(runs, key=lambda run: run[1])


def _shift_at(span: Span, at: int) -> int:
    return 0 if span.shift is None else int(span.shift[at])


def _even_until(span: Span, at: int) -> int:
    """The position up to which the past of a span has the same shift as `at`."""
    if span.shift is None:
        return span.start
    other = np.flatnonzero(span.shift[at : span.start] != span.shift[at])
    return at + int(other[0]) if len(other) else span.start


def _similar(runs: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Runs of similar length together, so that at most half of a problem is padded."""
    found: list[list[tuple[int, int, int]]] = []
    for run in sorted(runs, key=lambda run: run[1] - run[0]):
        length = run[1] - run[0]
        if found and length <= 2 * (found[-1][0][1] - found[-1][0][0]) + 32:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def _shifted_group(
    spans: list[Span], members: list[int], offsets: IntArray, runs: list[tuple[int, int, int]]
) -> Group:
    """The same rows by each of the runs (start, stop, shift)."""
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in members])
    row_at = np.concatenate([np.arange(spans[i].start, spans[i].stop) for i in members])
    slots = spans[members[0]].slots
    count = len(runs)
    return Group(
        np.tile(rows, (count, 1)), _pad([slots[a:b] for a, b, _ in runs]),
        np.tile(row_at, (count, 1)), _pad([np.arange(a, b) for a, b, _ in runs]),
        np.full(count, len(rows)), np.array([b - a for a, b, _ in runs]),
        own=False, shift=np.array([shift for _, _, shift in runs]),
    )  # fmt: skip


def _shared_group(
    spans: list[Span], members: list[int], offsets: IntArray, start: int, stop: int
) -> Group:
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in members])
    row_at = np.concatenate([np.arange(spans[i].start, spans[i].stop) for i in members])
    keys = spans[members[0]].slots[start:stop]
    return _one(rows, keys, row_at, np.arange(start, stop))


def _past_group(span: Span, offset: int, pieces: list[tuple[int, int]]) -> Group:
    key_at = np.concatenate([np.arange(a, b) for a, b in pieces])
    rows = np.arange(offset, offset + len(span))
    return _one(rows, span.slots[key_at], np.arange(span.start, span.stop), key_at)


def _one(rows: IntArray, keys: IntArray, row_at: IntArray, key_at: IntArray) -> Group:
    counts = np.array([len(rows)]), np.array([len(keys)])
    return Group(rows[None], keys[None], row_at[None], key_at[None], *counts, own=False)


def _buckets(
    spans: list[Span], narrow: list[int], pieces: list[list[tuple[int, int]]]
) -> list[list[int]]:
    """Spans of similar size together, so that little is padded: at most half of a problem."""
    size = {i: len(spans[i]) + sum(b - a for a, b in pieces[i]) for i in narrow}
    buckets: list[list[int]] = []
    for i in sorted(narrow, key=lambda i: (len(spans[i]), size[i], i)):
        first = buckets[-1][0] if buckets else i
        fits = len(spans[i]) <= 2 * len(spans[first]) and size[i] <= 2 * size[first] + 32
        if buckets and fits:
            buckets[-1].append(i)
        else:
            buckets.append([i])
    return [sorted(bucket) for bucket in buckets]


def _padded(
    spans: list[Span], members: list[int], pieces: list[list[tuple[int, int]]], offsets: IntArray
) -> Group:
    """One problem per span: its rows by its pieces and itself."""
    if all(_is_tail(spans[i], own) for i, own in zip(members, pieces, strict=True)):
        return _tails([spans[i] for i in members], pieces, offsets[members])
    rows, keys, row_at, key_at = [], [], [], []
    for i, own in zip(members, pieces, strict=True):
        span = spans[i]
        at = np.concatenate([np.arange(a, b) for a, b in [*own, (span.start, span.stop)]])
        rows.append(np.arange(offsets[i], offsets[i + 1]))
        row_at.append(np.arange(span.start, span.stop))
        keys.append(span.slots[at])
        key_at.append(at)
    return Group(
        _pad(rows), _pad(keys), _pad(row_at), _pad(key_at),
        np.array([len(r) for r in rows]), np.array([len(k) for k in keys]), own=True,
    )  # fmt: skip


def _is_tail(span: Span, pieces: list[tuple[int, int]]) -> bool:
    """Whether a span is one row that reads one run of positions, itself the last."""
    return len(span) == 1 and (not pieces or (len(pieces) == 1 and pieces[0][1] == span.start))


def _tails(spans: list[Span], pieces: list[list[tuple[int, int]]], offsets: IntArray) -> Group:
    """What `_padded` makes of such spans, of all at once: a decode step has many."""
    stops = np.array([span.stop for span in spans])
    begins = np.array([own[0][0] if own else s.start for s, own in zip(spans, pieces, strict=True)])
    counts = stops - begins
    columns = np.arange(counts.max())
    key_at = begins[:, None] + np.where(columns < counts[:, None], columns, 0)
    keys = np.empty_like(key_at)
    for row, span, begin, count in zip(keys, spans, begins.tolist(), counts.tolist(), strict=True):
        row[:count] = span.slots[begin : span.stop]
        row[count:] = row[0]
    ones = np.ones(len(spans), np.int64)
    return Group(offsets[:, None], keys, stops[:, None] - 1, key_at, ones, counts, own=True)


def _pad(arrays: list[IntArray]) -> IntArray:
    """Stack, filling up with each array's own first element: a masked key of another sequence
    could carry a NaN over."""
    width = max(map(len, arrays))
    out = np.empty((len(arrays), width), np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
        row[len(array) :] = array[0]
    return out
