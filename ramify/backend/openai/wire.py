"""The ways in which a request can travel, and what every one of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ramify.backend.contract import Delta, Request, Usage
from ramify.backend.openai.sse import BrokenEventError

Body = dict[str, Any]


class LostTokensError(BrokenEventError):
    """A stream leaves ids out. In one piece the answer has all of them."""


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

    @property
    def done(self) -> bool:
        """Whether the answer ended here by what the server does not know of: it need not go on."""
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


class Steps(Protocol):
    """Asks for the log-probabilities of chosen tokens behind a prompt, one place a request."""

    path: str

    def send(self, ids: Sequence[int], tokens: Sequence[int]) -> Body:
        """The body to post to `path`."""
        ...

    def read(self, answer: Body, tokens: Sequence[int]) -> tuple[dict[int, float], Counts]:
        """What it says. Raises BrokenEventError where one is missing."""
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


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
