"""A peer in a process and an environment of its own; see `serve`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class NoPeerError(Exception):
    """A peer's environment is not there, or the peer does not start."""


class Remote:
    """Starts the module `benchmarks.peers.MODULE` with the interpreter of `.venv-peers-NAME`."""

    def __init__(self, name: str, module: str, **arguments: Any) -> None:
        python = ROOT / f".venv-peers-{name}" / "bin" / "python"
        if not python.exists():
            raise NoPeerError(f"{name} is not installed: make bench-peers")
        self.name = name
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{module}", json.dumps(arguments)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.version: str = self._answer()["version"]

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Set up and forget all KV."""
        self._ask(do="prepare", settings=dict(settings))

    def run(self, workload: str) -> int:
        """Run a workload; returns how many tokens its last stage answered."""
        tokens: int = self._ask(do="run", workload=workload)["tokens"]
        return tokens

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NoPeerError(f"{self.name} ended with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found
