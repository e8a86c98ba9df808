"""The calls of a run, written down, and made again by a client that does nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx

from ramify.backend import Delta, Request
from ramify.backend.openai import OpenAIBackend


@dataclass(slots=True)
class Called:
    """A call: what was asked and answered, what the server found of the prompt in its cache, and
    how many calls had ended when it began."""

    prompt: tuple[int, ...]
    tokens: int
    priority: float
    behind: int
    answer: tuple[int, ...] = ()
    cached: int = 0


@dataclass(slots=True)
class Recording:
    """Calls in the order in which they began; their numbers in the order in which they ended."""

    calls: list[Called] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


class Recorded(OpenAIBackend):
    """Writes its calls down in `recording`."""

    recording: Recording

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Pass an answer on."""
        recording = self.recording
        number, ids = len(recording.calls), request.prompt.ids
        tokens, behind = request.sampling.max_tokens, len(recording.ended)
        call = Called(ids, tokens, request.priority, behind)
        recording.calls.append(call)
        stream: Any = super().generate(request)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                call.answer += delta.ids
                if delta.usage is not None:
                    call.cached = delta.usage.cached_tokens
                yield delta
        recording.ended.append(number)


async def replay(recording: Recording, backend: OpenAIBackend, url: str, salt: str) -> int:
    """Ask for the same tokens in the same order, each call as soon as those have ended that it was
    behind; the salt keeps it from finding what others have left. Returns the tokens written."""
    over = [asyncio.Event() for _ in recording.calls]
    limits = httpx.Limits(max_connections=len(over), max_keepalive_connections=len(over))
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:

        async def one(number: int, call: Called) -> int:
            for before in recording.ended[: call.behind]:
                await over[before].wait()
            body = {
                "model": backend.server.model,
                "prompt": call.prompt,
                "max_tokens": call.tokens,
                "temperature": 0,
                "priority": backend.server.dialect.urgency(call.priority),
                "cache_salt": salt,
            }
            reply = await client.post(f"{url}/completions", json=body)
            reply.raise_for_status()
            over[number].set()
            return int(reply.json()["usage"]["completion_tokens"])

        return sum(await asyncio.gather(*(one(*each) for each in enumerate(recording.calls))))
