"""Looking at the calls that a pattern made: which, on what prompt, in which order."""

from __future__ import annotations

from itertools import takewhile

from ramify.backend.fake import Call


def names(calls: list[Call]) -> list[str]:
    """The nodes of calls, in the order in which they were asked."""
    return [call.label.rsplit("/", 1)[-1] for call in calls]


def side_by_side(calls: list[Call]) -> bool:
    """Whether all calls had started before the first of them was done."""
    ends = [call.finished for call in calls if call.finished is not None]
    return max(call.started for call in calls) < min(ends)


def shared(calls: list[Call]) -> int:
    """Tokens that the prompts of calls begin with in common."""
    columns = zip(*(call.ids for call in calls), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def last(prompt: str) -> str:
    """The last message of a prompt that is not empty."""
    return [part for part in prompt.split("<|") if part.partition("|>")[2]][-1].partition("|>")[2]
