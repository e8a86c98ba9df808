"""What really happened to a node: the second column of `explain`. The runtime fills it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ramify.errors import GraphError

Status = Literal["done", "failed", "cancelled", "merged", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One node's share of a run. Times are seconds since the run's start."""

    status: Status
    start_s: float = 0.0
    end_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens: found in the cache, not computed
    output_tokens: int = 0
    note: str = ""  # why it failed, what it was merged with

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were really computed."""
        return self.prompt_tokens - self.cached_tokens

    def check(self) -> None:
        """Raise GraphError where the numbers contradict each other."""
        if self.end_s < self.start_s:
            raise GraphError(f"an account ends at {self.end_s} before its start {self.start_s}.")
        if not 0 <= self.cached_tokens <= self.prompt_tokens or self.output_tokens < 0:
            raise GraphError(f"an account's tokens cannot be: {self}.")
