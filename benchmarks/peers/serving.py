"""vLLM's server as a subprocess, the rows, and a raw client for it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

import ramify as rf

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
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@rf.program
def answer(s: rf.State, question: str) -> Any:
    """One call a row, behind instructions that all rows share."""
    s += rf.system("the old harbour was built on trade and fish by men who came from far away " * 3)
    s += rf.user(question)
    s += rf.assistant(rf.gen("answer", max_tokens=TOKENS))
    return s["answer"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ours."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL it with all that runs below it: the machine is gone."""
        for pid in (*_below(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def vllm_server(python: Path, folder: Path, **engine: Any) -> Iterator[str]:
    """The address of a running server; `engine` are options beside or in place of ENGINE."""
    with started_server(python, folder, **engine) as server:
        yield server.url


@contextmanager
def started_server(python: Path, folder: Path, **engine: Any) -> Iterator[Server]:
    """The same with its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--port", str(port), "--enable-prompt-tokens-details", "--scheduling-policy"]
    command += ["priority", "--disable-uvicorn-access-log"]
    for name, value in (ENGINE | engine).items():
        flag = f"--{name.replace('_', '-')}"
        command += [flag] if value is True else [flag, str(value)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, env=os.environ | SETTINGS, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            adopt_orphans()
            while server.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            if server.poll() is not None:
                log.seek(0)
                raise RuntimeError(log.read().decode()[-2000:])
            yield Server(f"http://127.0.0.1:{port}/v1", server)
        finally:
            below = _below(server.pid)
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            for pid in below:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def adopt_orphans() -> None:
    """Let what a child leaves behind become ours when it ends: a server does not wait for its
    engine, whose seconds would be taken for other people's (see `Watch`)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _below(pid: int) -> list[int]:
    """The processes below a process."""
    try:
        return [one.pid for one in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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
