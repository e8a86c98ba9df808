"""Order the rows of a batch so that those that share the longest prefixes run side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ramify.ir import Graph
from ramify.planner.context import Context
from ramify.planner.heads import END, Item, heads, shared

_SAMPLE = 256  # rows that are looked at to tell which prompts matter most


def order_rows(graphs: Sequence[Graph], context: Context) -> list[int]:
    """Indices of the rows in the order in which they should start.

    Depth first over the trie of what all rows' prompts are known to begin with, character by
    character: with a cache that holds one path, no order computes less (SGLang, arXiv 2312.07104,
    theorem 3.1). Among branches, the one that was seen first comes first, so the first row of a
    group leads it, and rows that share nothing keep their order. Where a row has several prompts
    from scratch, those count first in which the rows share most. Exact: rows do not read each
    other.

    Before: doc1+q1, doc2+q2, doc1+q3. After: doc1+q1, doc1+q3, doc2+q2.
    """
    if len(graphs) < 2:
        return list(range(len(graphs)))
    keys = _keys([heads(graph) for graph in graphs])
    by_text = sorted(range(len(graphs)), key=keys.__getitem__)
    depths = [shared(keys[a], keys[b]) for a, b in pairwise(by_text)]
    return _first_seen(by_text, depths)


def _keys(rows: Sequence[list[list[Item]]]) -> list[list[Item]]:
    """For each row the contents of its prompts, those first in which the rows share most.

    Prompts after the one that tells a row apart from all others are left out.
    """
    keys: list[list[Item]] = [[] for _ in rows]
    group = [0] * len(rows)  # equal for rows with equal keys so far
    groups: dict[tuple[int, tuple[Item, ...]], int] = {}
    alike = range(len(rows))
    for slot in _slots(rows):
        for i in alike:
            if slot < len(rows[i]):
                content = (*rows[i][slot], END)
                keys[i] += content
                group[i] = groups.setdefault((group[i], content), len(groups) + 1)
        count = Counter(group[i] for i in alike)
        alike = [i for i in alike if count[group[i]] > 1]  # type: ignore[assignment]
    return keys


def _slots(rows: Sequence[list[list[Item]]]) -> list[int]:
    """The places of prompts in a row, the one first in which some rows share most."""
    slots = list(range(max(map(len, rows))))
    if len(slots) < 2:
        return slots
    some = rows[:: -(-len(rows) // _SAMPLE)]
    sharing = []
    for slot in slots:
        found = sorted(row[slot] for row in some if slot < len(row))
        all_share = shared(found[0], found[-1]) if found else 0
        sharing.append(sum(shared(a, b) - all_share for a, b in pairwise(found)))
    return sorted(slots, key=lambda slot: -sharing[slot])


@dataclass(slots=True)
class _Group:
    """Rows that share their first `depth` characters; a single row where there are no parts."""

    depth: int
    first: int  # the row that was seen first
    parts: list[_Group] = field(default_factory=list)

    def add(self, part: _Group) -> None:
        self.parts.append(part)
        self.first = min(self.first, part.first)


def _first_seen(by_text: list[int], depths: list[int]) -> list[int]:
    """Rows sorted by text, in another depth-first order of the same trie: first seen, first out.

    `depths` is what each row shares with the next one; from these the groups are built as suffix
    array algorithms build their intervals.
    """
    root = _Group(-1, by_text[0])
    stack = [root]
    part = _Group(0, by_text[0])
    for row, depth in zip(by_text[1:], depths, strict=True):
        while stack[-1].depth > depth:
            group = stack.pop()
            group.add(part)
            part = group
        if stack[-1].depth < depth:
            stack.append(_Group(depth, part.first))
        stack[-1].add(part)
        part = _Group(0, row)
    while stack:
        group = stack.pop()
        group.add(part)
        part = group
    order: list[int] = []
    todo = [root]
    while todo:
        group = todo.pop()
        if not group.parts:
            order.append(group.first)
        todo += sorted(group.parts, key=lambda part: -part.first)
    return order
