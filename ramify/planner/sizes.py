"""How many tokens values and prompts will have, before they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ramify.ir import (
    Alias,
    Answer,
    Call,
    Close,
    Compress,
    Each,
    First,
    Generate,
    Node,
    NodeId,
    Open,
    Operand,
    Pack,
    Parallel,
    Prompt,
    Ref,
    Rerank,
    Retrieve,
    Score,
    Segment,
    Select,
    Template,
    Text,
    Vectors,
    View,
)
from ramify.planner.trie import ends

# Tokens, where nothing better is known.
OPENING, CLOSING = 3, 2  # what a chat template puts around a message
PASSAGE = 80
BRANCHES, BRANCH = 4, 64  # of an `each` whose list is not known: how many, how long
ASKED = 16  # and how many tokens a branch asks with, behind what all of them begin with
CALLED = 32  # what a function returns
NUMBER = 6  # a log-probability as text
KEPT = 0.5  # of a compression whose rate the planner or the compressor chooses


def rough_count(text: str) -> int:
    """Tokens of a text without a tokenizer: one for four characters."""
    return len(text) // 4


class Sizes:
    """Sizes of the values and prompts of one run, by one way of counting the tokens of a text.

    `add` nodes in the order in which they were traced; a generated text counts as `max_tokens`.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self.count = count
        self.values: dict[NodeId, int] = {}
        self.prompts: dict[Prompt, int] = {}

    def add(self, nodes: Iterable[Node]) -> None:
        values = self.values
        for node in nodes:
            if node.id not in values:
                values[node.id] = self._value(node)

    def prompt(self, prompt: Prompt) -> int:
        """Tokens of a whole prompt."""
        known = self.prompts.get(prompt)
        return known if known is not None else self.measure(prompt)[0]

    def measure(self, prompt: Prompt) -> tuple[int, int]:
        """Tokens of a whole prompt, and of the part of it that was measured before."""
        known, count = self.prompts, self.count
        rough = count is rough_count  # spelled out below: this runs on every plan
        before = -1
        stack = [prompt]
        while stack:
            path: list[Prompt] = []
            base = stack[-1]
            while base not in known and base.parent is not None:
                path.append(base)
                base = base.parent
            tokens = known.get(base, 0)
            before = tokens if before < 0 else before
            for step in reversed(path):
                segment: Segment = step.segment  # type: ignore[assignment]
                kind = type(segment)
                if kind is Text:  # by far the most
                    for part in segment.parts:  # type: ignore[union-attr]
                        tokens += len(part) // 4 if rough else count(part)
                elif kind is Open:
                    tokens += OPENING
                elif kind is Close:
                    tokens += CLOSING
                else:
                    missing = self._missing(segment)
                    if missing:
                        stack += missing
                        break
                    tokens += self.segment(segment)
                known[step] = tokens
            else:
                stack.pop()
        return known.get(prompt, 0), before

    def _missing(self, segment: Segment) -> list[Prompt]:
        """Prompts that must be measured before a segment that joins them."""
        if type(segment) is not Parallel:
            return []
        return [end for end in ends(segment) if end.depth and end not in self.prompts]

    def segment(self, segment: Segment) -> int:
        """Tokens of a segment that is not constant; the blocks that it joins are measured."""
        kind = type(segment)
        if kind is Answer:
            return self.values.get(segment.node, BRANCH)  # type: ignore[union-attr]
        if kind is Ref:
            return self.operand(segment)
        if isinstance(segment, Vectors):
            return segment.count
        if isinstance(segment, Parallel) and isinstance(segment.blocks, tuple):
            known = self.prompts
            return sum(known.get(b.stop, 0) - known.get(b.start, 0) for b in segment.blocks)
        return self.operand(segment.blocks)  # type: ignore[union-attr]

    def operand(self, operand: Operand) -> int:
        """Tokens of an operand read as text."""
        kind = type(operand)
        if kind is str:
            return self.count(operand)
        if kind is Ref:
            tokens = self.values.get(operand.node, BRANCH)
            for step in operand.path:
                tokens //= BRANCHES if type(step) is int else 2
            return max(tokens, 1)
        if kind is Template:
            return sum(map(self.operand, operand.parts))
        if kind is Pack:
            return sum(map(self.operand, operand.items))
        if operand is None:
            return 0
        return PASSAGE * len(operand) if hasattr(operand, "__len__") else CALLED

    def texts(self, texts: Iterable[str]) -> int:
        return sum([self.count(text) for text in texts])

    def _value(self, node: Node) -> int:
        """Tokens of a node's whole value as text."""
        measure = _MEASURE.get(type(node))
        return max(measure(node, self), 0) if measure is not None else BRANCH


def _compress(node: Compress, sizes: Sizes) -> int:
    source = sizes.operand(node.source)
    if node.tokens is not None:
        return min(node.tokens, source)
    return round(source * (node.rate if isinstance(node.rate, int | float) else KEPT))


def _rerank(node: Rerank, sizes: Sizes) -> int:
    given = sizes.operand(node.passages)
    return given if node.k is None else min(given, node.k * PASSAGE)


def _first(node: First, sizes: Sizes) -> int:
    found = [sizes.prompt(b.block.stop) - sizes.prompt(b.block.start) for b in node.branches]
    return node.k * sum(found) // max(len(found), 1)


_MEASURE: dict[type[Node], Callable[[Any, Sizes], int]] = {
    Generate: lambda node, _: node.sampling.max_tokens * node.samples,
    Select: lambda node, sizes: max(map(sizes.count, node.options)),
    Score: lambda node, _: NUMBER * len(node.continuations),
    View: lambda node, sizes: sizes.prompt(node.prompt),
    Compress: _compress,
    Retrieve: lambda node, _: node.k * PASSAGE,
    Rerank: _rerank,
    Call: lambda _node, _sizes: CALLED,
    Each: lambda node, _: (node.limit or BRANCHES) * BRANCH,
    First: _first,
    Alias: lambda node, sizes: sizes.values.get(node.of, BRANCH),
}
