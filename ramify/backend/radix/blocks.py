"""Parallel blocks as paths of the tree.

A token sees a sequence of tokens like any other: what stands before it, without the blocks beside
its own, numbered 0, 1, 2, ... That sequence is its *view*. A token's KV is computed at its place
in its own view, once; a token whose view has it elsewhere reads it there (`rope`). So a block is
computed directly behind what stands before its group, as a branch of it: forked branches that are
joined, and passages behind the same prompt in any order, find their KV in the tree.

What follows a group depends on what the group holds. It lies below a root of its own, named by a
digest of everything before it, so that equal joins share it. The first block needs nothing of
this: the text before a group and its first block are one ordinary path.

Repair (EPIC, arXiv:2410.15332): the first k tokens of each block but the first are computed once
more behind all that stands before them, and are read in place of the block's own.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np

from ramify.backend.contract import BlockSpan
from ramify.backend.radix.slots import IntArray
from ramify.errors import BackendError

JOINT = "\0"  # between the salt and the digest in the name of a root
Nested = list[list[tuple[BlockSpan, list[BlockSpan]]]]


@dataclass(frozen=True, slots=True)
class Run:
    """Positions `start..stop-1` of path number `path`, which a view has from position `at` on."""

    path: int
    start: int
    stop: int
    at: int


@dataclass(frozen=True, slots=True)
class Path:
    """A view whose last tokens, from position `base` on, lie below a root of the tree."""

    root: str
    base: int
    tokens: IntArray  # of the whole view
    runs: tuple[Run, ...] = ()  # positions below `base`, in order, without gaps


def lay_out(ids: IntArray, spans: Many[BlockSpan], salt: str) -> list[Path]:
    """The paths of a prompt. The last is the prompt's own view; the others are what it reads, each
    behind those that it reads itself. Without blocks there is just the prompt.

    Raises BackendError for spans that cross, or lie apart from the others of their group.
    """
    if not spans:
        return [Path(salt, 0, ids)]
    kept = [span for span in spans if span.stop > span.start]
    kept.sort(key=lambda span: (span.start, -span.stop, span.group))  # outer before inner
    writer = _Writer(ids)
    view = writer.write(0, len(ids), kept, _View(salt))
    return [*writer.paths, Path(view.root, view.base, ids, tuple(view.runs))]


def before(spans: Many[BlockSpan], stop: int, *, length: int) -> list[BlockSpan]:
    """The spans of a prompt of `length` tokens, as far as they lie before a position: what stands
    there or later is in no block. Raises BackendError for spans that leave the prompt."""
    for span in spans:
        if span.stop > length:
            raise _crossing(span)
    return [replace(s, stop=min(s.stop, stop)) for s in spans if s.start < stop]


@dataclass(slots=True)
class _View:
    """A view that grows."""

    root: str
    base: int = 0
    length: int = 0
    runs: list[Run] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)  # its tokens, as ranges of the ids

    def copy(self) -> _View:
        return _View(self.root, self.base, self.length, list(self.runs), list(self.parts))

    def append(self, start: int, stop: int) -> None:
        if stop > start:
            self.parts.append((start, stop))
            self.length += stop - start

    def parts_from(self, position: int) -> list[tuple[int, int]]:
        """The ranges of the tokens from a position on."""
        found = []
        for start, stop in self.parts:
            if position < stop - start:
                found.append((start + position, stop))
            position = max(0, position - (stop - start))
        return found


class _Writer:
    def __init__(self, ids: IntArray) -> None:
        self.ids = ids
        self.paths: list[Path] = []
        self._index: dict[tuple[str, bytes], int] = {}

    def write(self, start: int, stop: int, spans: list[BlockSpan], view: _View) -> _View:
        """A view, then `ids[start:stop]` with the blocks in it; the view may be changed."""
        at = start
        for group in _groups(spans, start, stop):
            view.append(at, group[0][0].start)
            view = self._group(group, view)
            at = group[-1][0].stop
        view.append(at, stop)
        return view

    def _group(self, group: list[tuple[BlockSpan, list[BlockSpan]]], outer: _View) -> _View:
        first, inner = group[0]
        joined = self.write(first.start, first.stop, inner, outer.copy())
        for span, inner in group[1:]:
            repaired = min(span.start + span.repair, span.stop)
            joined.append(span.start, repaired)
            if repaired < span.stop:
                branch = self.write(span.start, span.stop, inner, outer.copy())
                self._borrow(joined, branch, outer.length + repaired - span.start)
        return joined

    def _borrow(self, view: _View, branch: _View, position: int) -> None:
        """Let a view go on with what a branch has from a position on."""
        taken = [run for run in self._runs(branch) if run.at + run.stop - run.start > position]
        view.runs = self._runs(view)
        name = blake2b(_bytes(view.root), digest_size=16)
        name.update(b"%d;" % view.length)
        name.update(self._tokens(view)[view.base :].tobytes())
        for run in taken:
            cut = max(0, position - run.at)
            run = Run(run.path, run.start + cut, run.stop, view.length)
            path = self.paths[run.path]
            own = path.tokens[path.base : run.stop].tobytes()
            name.update(b"%d;%d;" % (run.start, len(own)) + _bytes(path.root) + own)
            view.runs.append(run)
            view.length += run.stop - run.start
        view.parts += branch.parts_from(position)
        view.base = view.length
        view.root = f"{view.root.partition(JOINT)[0]}{JOINT}{name.hexdigest()}"

    def _runs(self, view: _View) -> list[Run]:
        """The runs of a view, its own last tokens among them as a path."""
        if view.length == view.base:
            return list(view.runs)
        tokens = self._tokens(view)
        key = view.root, tokens[view.base :].tobytes()
        index = self._index.setdefault(key, len(self.paths))
        if index == len(self.paths):
            self.paths.append(Path(view.root, view.base, tokens, tuple(view.runs)))
        return [*view.runs, Run(index, view.base, view.length, view.base)]

    def _tokens(self, view: _View) -> IntArray:
        return np.concatenate([self.ids[start:stop] for start, stop in view.parts])


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _groups(spans: list[BlockSpan], start: int, stop: int) -> Nested:
    """The outermost groups: per block its span and the spans inside of it."""
    found: Nested = []
    at = start
    for span in spans:
        last = found[-1][-1] if found else None
        if last is not None and span.start < last[0].stop:
            if span.stop > last[0].stop:
                raise _crossing(span)
            last[1].append(span)
            continue
        if not at <= span.start < span.stop <= stop:
            raise _crossing(span)
        if last is not None and span.group == last[0].group:
            if span.start != at:
                raise _crossing(span)
            found[-1].append((span, []))
        else:
            found.append([(span, [])])
        at = span.stop
    return found


def _crossing(span: BlockSpan) -> BackendError:
    return BackendError(
        f"the block {span.start} to {span.stop} of group {span.group} crosses another one, lies "
        "apart from its group, or leaves the prompt.",
        hint="Spans are nested, and the blocks of a group follow each other without a gap.",
    )
