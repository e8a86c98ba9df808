"""Rows in an order in which those with a common prompt beginning go to the same actor.

Rows that share arguments share prompt beginnings. The arguments with the fewest different values
(the document, the instructions) come first in a prompt that was written with a cache in mind, so
rows are sorted by those; nothing has to be traced for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

Row = tuple[int, Mapping[str, Any]]  # its number, its arguments
_IDS = ("id", "custom_id")


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows sorted by the arguments that repeat, the fewest different values first."""
    ranks: dict[str, dict[str, int]] = {}  # argument -> value -> order of appearance
    spelled: list[dict[str, str]] = []
    for _, row in rows:
        texts = {
            name: json.dumps(value, sort_keys=True, default=repr)
            for name, value in row.items()
            if name not in _IDS
        }
        spelled.append(texts)
        for name, text in texts.items():
            known = ranks.setdefault(name, {})
            known.setdefault(text, len(known))
    shared = [name for name, known in ranks.items() if len(known) < len(rows)]
    shared.sort(key=lambda name: len(ranks[name]))

    def place(index: int) -> list[int]:
        texts = spelled[index]
        return [ranks[name][texts[name]] if name in texts else -1 for name in shared]

    return [rows[index] for index in sorted(range(len(rows)), key=place)]


def chunks(
    rows: Iterable[Row], *, size: int, window: int, parts: int
) -> Iterator[list[list[list[Row]]]]:
    """For each window of rows: per part, its stretch of the order in chunks of `size`."""
    numbered = iter(rows)
    while ahead := in_order(list(islice(numbered, window))):
        share = -(-len(ahead) // parts)
        stretches = [ahead[at : at + share] for at in range(0, len(ahead), share)]
        yield [
            [stretch[at : at + size] for at in range(0, len(stretch), size)]
            for stretch in stretches
        ]
