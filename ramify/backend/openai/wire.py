"""The ways in which a request can travel, and what every one of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ramify.backend.contract import Delta, Finish, Request, Usage
from ramify.backend.openai.sse import BrokenEventError

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens as the server counts them; None where it does not say."""

    prompt: int | None = None
    cached: int | None = None
    output: int | None = None

    def usage(self, prompt: int, output: int, first_s: float, total_s: float) -> Usage:
        """The account, with our own counts where the server is silent."""
        prompt = prompt if self.prompt is None else self.prompt
        output = output if self.output is None else self.output
        return Usage(prompt, min(self.cached or 0, prompt), output, first_s, total_s)


class Reader(Protocol):
    """Reads the answer to one request, event by event."""

    def take(self, event: Body) -> list[Delta]:
        """What an event adds. Raises BrokenEventError where it is not what it must be."""
        ...

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        """The last deltas. Raises BrokenEventError where the answer is not whole."""
        ...


class Wire(Protocol):
    """A way for requests to travel."""

    def send(self, request: Request) -> tuple[str, Body]:
        """The path, and the body to post there. Raises CapabilityError."""
        ...

    def reader(self, request: Request) -> Reader:
        """A reader of the answer."""
        ...


def counts_of(usage: Any) -> Counts:
    """The `usage` object of the protocol."""
    if not isinstance(usage, dict):
        return Counts()
    details = usage.get("prompt_tokens_details") or {}
    return Counts(
        _whole(usage.get("prompt_tokens")),
        _whole(details.get("cached_tokens")),
        _whole(usage.get("completion_tokens")),
    )


def finish_of(reason: object) -> Finish | None:
    """Why the server stopped; None while it goes on."""
    if reason is None or reason == "":
        return None
    if reason == "length":
        return "length"
    if reason in ("content_filter", "abort", "error"):
        raise BrokenEventError(f"the server ended the answer: {reason}")
    return "stop"


def choices_of(event: Body) -> Sequence[Body]:
    """The choices of an event; an error inside a stream is raised."""
    if "error" in event:
        raise BrokenEventError(f"the server says: {str(event['error'])[:200]}")
    choices = event.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise BrokenEventError(f"no choices in {str(event)[:80]!r}")
    return choices


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
