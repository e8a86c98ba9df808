"""A prompt is data: a persistent sequence of segments with a parent pointer.

Appending is O(1), forks share their parent, and the prompts of all nodes form a trie: the plan's
picture of the radix tree. Nothing here is recursive, so prompts may be thousands of segments long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ramify.ir.vectors import Vectors

NodeId = int
Role = Literal["system", "user", "assistant", "tool"]
JoinMode = Literal["text", "kv"]


@dataclass(frozen=True, slots=True)
class Text:
    """Constant text. Each part is tokenized by itself, so that joining parts changes no token."""

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of another node, or a part of it: fields and indices in `path`. Read as text."""

    node: NodeId
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens that a node generated at this very place; they are never tokenized again."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Open:
    """A message of a role begins."""

    role: Role


@dataclass(frozen=True, slots=True)
class Close:
    """The message of a role ends."""

    role: Role


@dataclass(frozen=True, slots=True)
class Block:
    """What a branch appended after its fork: the segments after `start`, up to and with `stop`."""

    start: Prompt
    stop: Prompt

    def segments(self) -> list[Segment]:
        return self.stop.segments(since=self.start)


@dataclass(frozen=True, slots=True)
class Parallel:
    """Joined branches. `blocks` are known now, or a Ref to the Each or First that will know them.

    `mode="text"` reads them one after another as ordinary text; `mode="kv"` as parallel blocks
    that do not see each other, where the backend can (lowered to text, and said so, elsewhere).
    The first `repair` tokens of each parallel block are computed again in sight of all before it.
    """

    blocks: tuple[Block, ...] | Ref
    mode: JoinMode = "text"
    repair: int = 0


Segment = Text | Ref | Answer | Open | Close | Parallel | Vectors
_CONSTANT = (Text, Open, Close, Vectors)


class Prompt:
    """A prompt: the segments of `parent`, then `segment`. The root has neither."""

    __slots__ = ("_above", "depth", "parent", "segment")

    def __init__(self, parent: Prompt | None = None, segment: Segment | None = None) -> None:
        self.parent = parent
        self.segment = segment
        self.depth: int = 0 if parent is None else parent.depth + 1
        # The nearest prompt above whose segment reads another node (never this one: a prompt that
        # held itself would wait for the garbage collector).
        self._above: Prompt | None = None if parent is None else parent._source()

    def _source(self) -> Prompt | None:
        """The nearest prompt, this one or above, whose segment reads another node."""
        if self.parent is None or type(self.segment) in _CONSTANT:
            return self._above
        return self

    def append(self, *segments: Segment) -> Prompt:
        prompt = self
        for segment in segments:
            prompt = Prompt(prompt, segment)
        return prompt

    def ancestors(self) -> Iterator[Prompt]:
        """This prompt, its parent, and so on; the root comes last."""
        prompt: Prompt | None = self
        while prompt is not None:
            yield prompt
            prompt = prompt.parent

    def segments(self, since: Prompt | None = None) -> list[Segment]:
        """The segments in order, all of them or those after the ancestor `since`."""
        found: list[Segment] = []
        prompt: Prompt = self
        while prompt.parent is not None and prompt is not since:
            found.append(prompt.segment)  # type: ignore[arg-type]
            prompt = prompt.parent
        found.reverse()
        return found

    def sources(self, since: Prompt | None = None) -> list[NodeId]:
        """The nodes that must be done before this prompt can be read, nearest first.

        An answer ends the walk: its node read everything before it.
        """
        found: list[NodeId] = []
        todo: list[tuple[Prompt | None, int]] = [
            (self._source(), since.depth if since is not None else 0)
        ]
        while todo:
            prompt, floor = todo.pop()
            if prompt is None or prompt.depth <= floor:
                continue
            segment = prompt.segment
            if type(segment) is Answer:
                found.append(segment.node)
                continue
            todo.append((prompt._above, floor))
            if type(segment) is Ref:
                found.append(segment.node)
            elif type(segment) is Parallel:
                blocks = segment.blocks
                if isinstance(blocks, Ref):
                    found.append(blocks.node)
                else:
                    todo += [(b.stop._source(), b.start.depth) for b in reversed(blocks)]
        return found

    def starts_with(self, other: Prompt) -> bool:
        """Whether `other` is this prompt or one of its ancestors."""
        prompt: Prompt = self
        while prompt.depth > other.depth:
            prompt = prompt.parent  # type: ignore[assignment]
        return prompt is other

    def __len__(self) -> int:
        return self.depth

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"Prompt({self.depth} segments)"
