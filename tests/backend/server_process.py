"""Servers of others as processes beside the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    command: Sequence[str],
    ready: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    *,
    limit_s: float = 500.0,
) -> Iterator[None]:
    """A process from when it answers at the address `ready` with 200; interrupted at the end.

    Raises AssertionError with the end of its output where it does not come to that.
    """
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env=os.environ | (env or {}), stdout=out, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + limit_s
        while not _answers(ready):
            if server.poll() is not None or time.monotonic() > end:
                raise AssertionError(log.read_text()[-3000:])
            time.sleep(0.1)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False
