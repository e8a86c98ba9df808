"""What a router is."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from ramify.errors import RamifyError


class RouterMissingError(RamifyError, FileNotFoundError):
    """A router lacks its model file, or the packages that it needs."""


@runtime_checkable
class Router(Protocol):
    """Reads a question, gives the chance that its answer is a list of independent points."""

    name: str

    async def suits(self, question: str) -> float:
        """A chance from 0 to 1; over a half the question suits."""
        ...


RouterSpec = Literal["linear", "prompt"] | Router
