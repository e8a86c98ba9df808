"""What is known of a program's prompts before anything runs: the constant text they begin with."""

from __future__ import annotations

from typing import get_args

from ramify.ir import Close, Graph, Open, Prompt, Role, Text

# A part of a text; or a role that opens or closes, the end of a prompt, or where a prompt forks,
# each as a text that begins with its own control character, so that items can be sorted.
Item = str
_ROLES: tuple[Role, ...] = get_args(Role)
_OPEN = {role: f"\0open {role}" for role in _ROLES}
_CLOSE = {role: f"\0close {role}" for role in _ROLES}
END: Item = "\0end"


def heads(graph: Graph) -> list[list[Item]]:
    """What a row's prompts begin with, up to the first value: a list for each empty prompt.

    Prompts that fork follow each other in one list, each from where it forks.
    """
    found: list[list[Item]] = []
    places: dict[Prompt, tuple[list[Item], int] | None] = {}  # list and end; None after a value
    for prompt in graph.prompts():
        path = []
        base = prompt
        while base not in places and base.parent is not None:
            path.append(base)
            base = base.parent
        if base not in places:
            found.append([])
            places[base] = (found[-1], 0)
        place = places[base]
        for step in reversed(path):
            place = places[step] = _written(step, place)
    return found


def _written(prompt: Prompt, place: tuple[list[Item], int] | None) -> tuple[list[Item], int] | None:
    """Where a prompt ends once its last segment is written to the list; None after a value."""
    segment = prompt.segment
    if place is None or not isinstance(segment, Text | Open | Close):
        return None
    items, end = place
    if end < len(items):
        items.append(f"\0fork {end:09}")
    if isinstance(segment, Text):
        items += segment.parts
    else:
        items.append((_OPEN if isinstance(segment, Open) else _CLOSE)[segment.role])
    return items, len(items)


def shared(a: list[Item], b: list[Item]) -> int:
    """Characters that two lists have in common from their beginnings."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            return count + _common(x, y)
        count += len(x)
    return count


def _common(a: str, b: str) -> int:
    """Characters that two different texts begin with; halving compares at the speed of C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
