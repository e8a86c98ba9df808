"""Several answers to one prompt in one request, for backends that take it so."""

from __future__ import annotations

from dataclasses import replace

from ramify.backend.collect import Collected
from ramify.backend.contract import Backend, Request


async def collect_samples(backend: Backend, request: Request, count: int) -> list[Collected]:
    """The answers by their index; sample i is what the seed + i alone would have given."""
    found = [Collected() for _ in range(count)]
    texts: list[list[str]] = [[] for _ in range(count)]
    async for delta in backend.generate(replace(request, samples=count, stream=False)):
        one = found[delta.index]
        one.ids.extend(delta.ids)
        texts[delta.index].append(delta.text)
        if delta.finish is not None:
            one.finish = delta.finish
            one.usage = delta.usage or one.usage
    for one, parts in zip(found, texts, strict=True):
        one.text = "".join(parts)
    return found
