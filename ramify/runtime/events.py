"""What happens in a run, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "planned", "started", "delta", "retried", "finished", "failed", "cancelled", "grown", "note"
]


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one node. `at` is in seconds since the run began.

    `text` is the new piece of text of a "delta", the whole text of a "finished", the message of a
    "failed", "retried" or "note". A "retried" node starts its text anew.
    """

    kind: EventKind
    node: int
    name: str
    scope: str
    text: str = ""
    at: float = 0.0


Sink = Callable[[Event], None]
