"""Reading `choices`, whatever they carry: whose each is, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ramify.backend.contract import Finish, Usage
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts, counts_of


class Choices:
    """The choices of one answer in `samples` parts, event by event."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._why: dict[int, Finish] = {}
        self._counts = Counts()

    def read(self, event: Body) -> Iterator[tuple[int, Body]]:
        """The choices of an event with their indices. Raises BrokenEventError for an error that
        the server tells, and where they are not what they must be."""
        if event.get("usage"):
            self._counts = counts_of(event["usage"])
        for choice in _choices(event):
            index = choice.get("index", 0)
            if not isinstance(index, int) or not 0 <= index < self._samples:
                raise BrokenEventError(f"a choice has the index {index!r}")
            yield index, choice
            why = _finish(choice.get("finish_reason"))
            if why is not None:
                self._why[index] = why

    def ends(self) -> list[tuple[int, Finish]]:
        """Why each ended. Raises BrokenEventError where one has not."""
        if len(self._why) < self._samples:
            raise BrokenEventError("the answer ends in the middle")
        return sorted(self._why.items())

    def usage(
        self, index: int, prompt: int, output: int | None, first_s: float, total_s: float
    ) -> Usage:
        """The account of one part: the prompt is computed once, for the first. The server counts
        the tokens of all parts together; they are the first's where `output` is not known."""
        counts = self._counts if index == 0 else Counts(cached=prompt)
        if self._samples > 1 and output is not None:
            counts = Counts(counts.prompt, counts.cached)
        return counts.usage(prompt, output or 0, first_s, total_s)


def _finish(reason: object) -> Finish | None:
    if reason is None or reason == "":
        return None
    if reason == "length":
        return "length"
    if reason in ("content_filter", "abort", "error"):
        raise BrokenEventError(f"the server ended the answer: {reason}")
    return "stop"


def _choices(event: Body) -> Sequence[Body]:
    if "error" in event:
        raise BrokenEventError(f"the server says: {str(event['error'])[:200]}")
    choices = event.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise BrokenEventError(f"no choices in {str(event)[:80]!r}")
    return choices
