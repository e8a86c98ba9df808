"""A contender in a process and an environment of its own, which runs when it is asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_MARK = "RESULT "


class Apart:
    """`python -m benchmarks.peers.MODULE`: a line of JSON in, a line `RESULT` and JSON back.

    The first line is `task`; what the module answers to it is `ready`.
    """

    def __init__(
        self, python: Path, module: str, env: Mapping[str, str] | None = None, **task: Any
    ) -> None:
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{module}"],
            cwd=ROOT,
            env=os.environ | (env or {}) | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
        )
        self.ready = self.ask(**task)

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message; what comes back. Raises RuntimeError where the process has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        for said in self._process.stdout:  # libraries print, too
            if said.startswith(_MARK):
                found: dict[str, Any] = json.loads(said.removeprefix(_MARK))
                return found
        raise RuntimeError(f"the process ended with status {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
