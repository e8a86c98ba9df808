"""The text of several nodes as one, in the order of the program, while they run side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ramify.runtime.events import Event


@dataclass(slots=True)
class _Part:
    """The text of one node that nobody has read yet."""

    name: str
    pieces: list[str] = field(default_factory=list)
    streamed: bool = False
    done: bool = False


class InOrderText:
    """Takes events, gives text: what stands first is given as it comes, the rest waits its turn.

    Nodes count by their names, in the order in which they were traced. The text of `stripped`
    names is given without the white space around it. A node that fails gives what it had; one
    that is retried after some of its text was given out cannot take that back.
    """

    def __init__(self, names: Collection[str], stripped: Collection[str] = ()) -> None:
        self._names = frozenset(names)
        self._stripped = frozenset(stripped)
        self._parts: dict[int, _Part] = {}
        self._blank = ""  # white space that is only given when text follows it
        self._begun = False  # whether the part in turn has given text

    def take(self, event: Event) -> Iterator[str]:
        """What can be given now."""
        if event.name not in self._names:
            return
        if event.kind == "planned":
            self._parts.setdefault(event.node, _Part(event.name))
        part = self._parts.get(event.node)
        if part is None:
            return
        if event.kind == "delta":
            part.pieces.append(event.text)
            part.streamed = True
        elif event.kind == "retried":
            part.pieces.clear()
        elif event.kind in ("finished", "failed", "cancelled"):
            part.done = True
            if event.kind == "finished" and not part.streamed:
                part.pieces.append(event.text)
        yield from self._ready()

    def _ready(self) -> Iterator[str]:
        while self._parts:
            node = min(self._parts)
            part = self._parts[node]
            text = "".join(part.pieces)
            part.pieces.clear()
            if part.name in self._stripped:
                text = self._strip(text)
            if text:
                self._begun = True
                yield text
            if not part.done:
                return
            del self._parts[node]
            self._blank, self._begun = "", False

    def _strip(self, text: str) -> str:
        text = self._blank + text
        if not self._begun:
            text = text.lstrip()
        kept = text.rstrip()
        self._blank = text[len(kept) :]
        return kept
