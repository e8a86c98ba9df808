"""Somebody else's server as a process beside a benchmark or a test."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE_S = 30.0  # from an interrupt to a kill


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ours; `url` has no slash at its end."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL it with all that runs below it: the machine is gone."""
        _kill(_below(self.process.pid))
        self.process.kill()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    command: Sequence[str],
    url: str,
    ready: str,
    env: Mapping[str, str] | None = None,
    *,
    limit_s: float = 500.0,
) -> Iterator[Server]:
    """A server from when it answers at the address `ready` with 200; interrupted at the end, and
    waited for with all that ran below it.

    Raises RuntimeError with the end of its output where it does not come to that.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=os.environ | (env or {}),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_heed_interrupts,
        )
        try:
            adopt_orphans()
            end = time.monotonic() + limit_s
            while not _answers(ready):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise RuntimeError(log.read().decode(errors="replace")[-3000:])
                time.sleep(0.1)
            yield Server(url, process)
        finally:
            _stop(process)


def adopt_orphans() -> None:
    """Let what a child leaves behind become ours when it ends: a server does not wait for its
    engine, whose seconds would be taken for other people's (see `Watch`)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _heed_interrupts() -> None:
    """A process that a shell has put into the background ignores SIGINT, and so would its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    below = _below(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(below, timeout=GRACE_S)
    _kill(left)  # what a killed server left behind
    psutil.wait_procs(left)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def _below(pid: int) -> list[psutil.Process]:
    """The processes below a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()
