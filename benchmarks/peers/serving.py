"""vLLM's server as a subprocess, the rows, and a raw client for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import ramify as rf
from benchmarks.harness.server import Server, free_port, running

ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "block_size": 32,
    "max_model_len": 1024,
    "max_num_seqs": 64,
    "distributed_executor_backend": "uni",
}
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "OMP_NUM_THREADS": "1",
}
TOKENS = 16


@rf.program
def answer(s: rf.State, question: str) -> Any:
    """One call a row, behind instructions that all rows share."""
    s += rf.system("the old harbour was built on trade and fish by men who came from far away " * 3)
    s += rf.user(question)
    s += rf.assistant(rf.gen("answer", max_tokens=TOKENS))
    return s["answer"]


@contextmanager
def vllm_server(python: Path, folder: Path, **engine: Any) -> Iterator[Server]:
    """A running server, its `url` the one of the API; `engine` are options beside or in place of
    ENGINE. Raises what `running` raises."""
    port = free_port()
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--port", str(port), "--enable-prompt-tokens-details", "--scheduling-policy"]
    command += ["priority", "--disable-uvicorn-access-log"]
    for name, value in (ENGINE | engine).items():
        flag = f"--{name.replace('_', '-')}"
        command += [flag] if value is True else [flag, str(value)]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/v1", f"{address}/health", SETTINGS) as server:
        yield server


def raw_client(url: str, model: str, prompts: list[list[int]], at_once: int) -> int:
    """All prompts through a bare asyncio client; returns the tokens written."""

    async def run() -> int:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        slots = asyncio.Semaphore(at_once)
        async with httpx.AsyncClient(timeout=None, limits=limits) as client:

            async def one(ids: list[int]) -> int:
                body = {"model": model, "prompt": ids, "max_tokens": TOKENS, "temperature": 0}
                async with slots:
                    reply = await client.post(f"{url}/completions", json=body)
                reply.raise_for_status()
                return int(reply.json()["usage"]["completion_tokens"])

            return sum(await asyncio.gather(*map(one, prompts)))

    return asyncio.run(run())
