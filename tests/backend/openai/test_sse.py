"""Events come out the same however the bytes are cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.backend.openai.sse import BrokenEventError, events

FOUND = [{"a": 1}, {"text": "héé\n"}, {"b": [2]}]
STREAM = (
    f": hello\n\ndata: {json.dumps(FOUND[0])}\r\n\r\n"
    f"event: x\ndata:{json.dumps(FOUND[1], ensure_ascii=False)}\n\n"
    f"id: 3\n\ndata: {json.dumps(FOUND[2])}\n\ndata: [DONE]\n\n"
).encode()


async def pieces(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:stop]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_any_cut(cuts: list[int]) -> None:
    import asyncio

    async def read() -> list[object]:
        return [event async for event in events(pieces(STREAM, cuts))]

    assert asyncio.run(read()) == FOUND


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"a": 1}\n\ndata: {"b'])
async def test_broken_events_are_named(data: bytes) -> None:
    with pytest.raises(BrokenEventError, match="an event is not"):
        _ = [event async for event in events(pieces(data, []))]
