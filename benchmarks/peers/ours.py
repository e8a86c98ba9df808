"""Ramify's embedded engine, asked through the backend contract like any other backend."""

from __future__ import annotations

import asyncio
from itertools import count as counter
from pathlib import Path
from typing import Any

from benchmarks.peers.engine import Engine, Prompts


class Ramify(Engine):
    """All prompts are submitted at once; a new salt per run makes the cache cold."""

    name = "ramify"

    def __init__(self, folder: Path, dtype: str, setting: str = "default", **options: Any) -> None:
        from ramify.backend.radix import RadixBackend

        self.setting = setting
        self._loop = asyncio.Runner()
        self._backend = RadixBackend.open(str(folder), dtype=dtype, **options)
        self.weight_bytes = self._backend.weight_bytes
        self._salts = counter()
        self._salt = ""

    def prepare(self, prompts: Prompts, count: int) -> None:
        self._salt = f"run {next(self._salts)}"

    def run(self, prompts: Prompts, count: int) -> list[list[int]]:
        return self._loop.run(self._all(prompts, count))

    async def _all(self, prompts: Prompts, count: int) -> list[list[int]]:
        from ramify.backend.collect import collect
        from ramify.backend.contract import Request, TokenPrompt
        from ramify.ir.sampling import Sampling

        sampling = Sampling(max_tokens=count, ignore_end=True)
        requests = [
            Request(prompt=TokenPrompt(tuple(ids)), sampling=sampling, salt=self._salt)
            for ids in prompts
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(collect(self._backend.generate(request))) for request in requests
            ]
        done = [task.result() for task in tasks]
        self.cached = sum(answer.usage.cached_tokens for answer in done)
        return [answer.ids for answer in done]

    def close(self) -> None:
        self._loop.run(self._backend.close())
        self._loop.close()
