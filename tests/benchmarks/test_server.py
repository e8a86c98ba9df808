"""Servers beside benchmarks and tests: there while needed, gone afterwards, heard as they fail."""

from __future__ import annotations

import signal
import sys

import httpx
import psutil
import pytest

from benchmarks.harness.server import free_port, running

# a server with a child, as vLLM's has an engine
SERVE = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
try:
    http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
finally:
    child.kill()
"""


def test_a_server_runs_as_long_as_it_is_needed() -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([sys.executable, "-c", SERVE, str(port)], url, f"{url}/") as server:
        assert server.url == url and httpx.get(f"{url}/").status_code == 200
        processes = [psutil.Process(server.process.pid)]
        processes += processes[0].children()
        assert len(processes) == 2
    assert not any(process.is_running() for process in processes)


def test_a_killed_server_takes_its_children_along() -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([sys.executable, "-c", SERVE, str(port)], url, f"{url}/") as server:
        (child,) = psutil.Process(server.process.pid).children()
        server.kill()
        assert server.process.wait() != 0
        child.wait(60)


def test_what_a_server_says_before_it_fails_is_told() -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    with (
        pytest.raises(RuntimeError, match="no such model"),
        running(command, "", "http://0.0.0.0:1"),
    ):
        pass


def test_a_server_ends_where_interrupts_are_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        url = f"http://127.0.0.1:{(port := free_port())}"
        with running([sys.executable, "-c", SERVE, str(port)], url, f"{url}/") as server:
            pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert server.process.returncode != -signal.SIGKILL


def test_a_stubborn_server_is_killed_with_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.server.GRACE_S", 0.1)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SERVE
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([sys.executable, "-c", deaf, str(port)], url, f"{url}/") as server:
        (child,) = psutil.Process(server.process.pid).children()
    assert server.process.returncode == -signal.SIGKILL and not child.is_running()
