"""Server-sent events: the `data:` of each, as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any


class BrokenEventError(ValueError):
    """An event that is not a JSON object."""


def parse_event(raw: bytes) -> dict[str, Any] | None:
    """The object of one event; None for comments, for the end mark and for other fields."""
    lines = [line[5:] for line in raw.split(b"\n") if line.startswith(b"data:")]
    data = b"\n".join(lines).strip()
    if not data or data == b"[DONE]":
        return None
    try:
        found = json.loads(data)
    except ValueError as error:
        raise BrokenEventError(f"an event is not JSON: {data[:80]!r}") from error
    if not isinstance(found, dict):
        raise BrokenEventError(f"an event is not a JSON object: {data[:80]!r}")
    return found


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any]]:
    """The events of a stream of bytes, however it is cut into chunks."""
    held = b""
    async for chunk in chunks:
        held = (held + chunk).replace(b"\r\n", b"\n")
        *whole, held = held.split(b"\n\n")
        for raw in whole:
            found = parse_event(raw)
            if found is not None:
                yield found
    found = parse_event(held)  # some servers leave the last empty line out
    if found is not None:
        yield found
