"""A batch on Ray at size: 10,000 rows on two workers, one killed; then the driver killed.

Each worker is an actor with an engine of its own (radix, a random model of 2 x 128 in float32, one
thread); rows ask about 100 pages. The command line runs the batch in a process of its own, and
what dies is killed by SIGKILL when half of the rows are written. Ratios are shares of the rows, 1
means all of them:

    plain          nobody is killed: rows that are in the output once, with the text of a run
                   without Ray
    worker_killed  the same, with a worker killed
    driver_killed  the same, with the driver killed and the same command given again
    not_again      of the rows that were written when the driver died, those not computed again

`over_one_process` is rows per second of two workers over those of one process with two threads,
without Ray: beside the engines it has the start of Ray and of two interpreters (`start s`: until
the first rows are written; `rows/s then`: after that). Rows that were under way in what died are
computed again (`computed` counts every row that was finished by a worker, `written` those in the
output).

Needs an environment with Ray and the engine (`make bench-peers`; RAMIFY_RAY_PYTHON names another
interpreter).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import MissingDataError, Options, Report
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.harness.server import adopt_orphans
from benchmarks.peers.ray_rows import LOG

ROOT = Path(__file__).parents[1]
PAGES = 100
SHAPE = LlamaShape(
    layers=2, hidden=128, heads=4, kv_heads=2, intermediate=352, dtype="float32", context=1024
)
ON_RAY = ("--ray", "--workers", "2")


def interpreter() -> Path:
    """The interpreter that has Ray. Raises MissingDataError where there is none."""
    default = ROOT / ".venv-peers-ray" / "bin" / "python"
    path = Path(os.environ.get("RAMIFY_RAY_PYTHON", default))
    if not path.exists():
        raise MissingDataError(f"{path} is not there: make bench-peers makes it")
    return path


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where the environment is missing."""
    python, model = interpreter(), random_llama(SHAPE)
    adopt_orphans()
    count = 2_000 if options.quick else 10_000
    rows = [
        {"id": f"r{i}", "page": f"{i * 7919 % PAGES}", "question": f"question {i}?"}
        for i in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))

        def batch(name: str, threads: int, *flags: str) -> _Batch:
            backend = f"radix:{model}?threads={threads}"
            return _Batch(python, source, Path(folder) / name, backend, flags)

        alone = batch("one process", 2)
        alone.run()
        plain = batch("plain", 1, *ON_RAY)
        plain.run()
        worker = batch("worker killed", 1, *ON_RAY)
        worker.run(count // 2, worker.kill_worker)
        driver = batch("driver killed", 1, *ON_RAY)
        driver.run(count // 2, driver.kill_driver)
        finished = set(driver.written())
        before = Counter(driver.computed())
        driver.run()
        again = Counter(driver.computed()) - before
        runs = [alone, plain, worker, driver]
        found = [one.row() for one in runs]
        texts = alone.written()
        right = {one.name: one.right(texts) / count for one in runs}
        found[-1]["written before"] = len(finished)
        redone = sum(again[f"question {row[1:]}?"] > 0 for row in finished)
    ratios = {name.replace(" ", "_"): share for name, share in right.items() if name != alone.name}
    ratios["not_again"] = 1 - redone / len(finished)
    ratios["over_one_process"] = alone.seconds / plain.seconds
    about = {"ray": _version(python), "warning": "Ray waits for no worker: they count as others."}
    return Report("ray_batch", found, ratios, about)


@dataclass(slots=True)
class _Batch:
    """A batch by the command line, and the files beside it."""

    python: Path
    source: Path
    place: Path
    backend: str
    flags: tuple[str, ...]
    seconds: float = 0.0  # of all runs
    first_s: list[float] = field(default_factory=list)  # of each run: until it wrote its first rows
    first_rows: int = 0  # that were written by then
    driver: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def out(self) -> Path:
        return self.place.with_suffix(".jsonl")

    @property
    def log(self) -> Path:
        return self.place.with_suffix(".log")

    def run(self, rows: int = 0, kill: Callable[[], None] | None = None) -> None:
        """Run to the end; `kill` is called when so many rows are written.

        Raises RuntimeError where the batch fails, or ends before it was time to kill.
        """
        program = ROOT / "benchmarks" / "peers" / "ray_rows.py"
        command = [str(self.python), "-m", "ramify.cli", "batch", f"{program}:look_up"]
        command += [str(self.source), str(self.out), "--backend", self.backend, "--quiet"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), LOG: str(self.log)}
        environment.pop("RAY_ADDRESS", None)
        had = self._lines()
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            self.driver = subprocess.Popen(
                [*command, *self.flags], env=environment, stdout=errors, stderr=errors
            )
            killed = False
            first = 0.0
            while self.driver.poll() is None:
                time.sleep(0.05)
                lines = self._lines()
                if not first and lines > had:
                    first = time.perf_counter() - begun
                    self.first_rows += lines - had
                if kill is not None and not killed and lines >= rows:
                    kill()
                    killed = True
            self.seconds += time.perf_counter() - begun
            self.first_s.append(first)
            _reap()
            errors.seek(0)
            told = errors.read().decode()[-2000:]
        if kill is not None and not killed:
            raise RuntimeError("the rows were done before anything was killed.")
        if self.driver.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError(told)

    def kill_worker(self) -> None:
        """Kill the worker that finished the last row."""
        os.kill(int(self.log.read_text().splitlines()[-1].split()[0]), signal.SIGKILL)

    def kill_driver(self) -> None:
        """Kill the driver."""
        assert self.driver is not None
        self.driver.kill()

    def _lines(self) -> int:
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0

    def written(self) -> dict[str, str]:
        """The texts of the rows that are in the output exactly once, by their ids."""
        lines = [json.loads(line) for line in self.out.read_bytes().splitlines(keepends=True)
                 if line.endswith(b"\n")]  # fmt: skip
        times = Counter(line["id"] for line in lines)
        return {line["id"]: line["text"] for line in lines
                if times[line["id"]] == 1 and line["error"] is None}  # fmt: skip

    def computed(self) -> list[str]:
        """The questions that were answered, as often as they were."""
        return [line.partition(" ")[2] for line in self.log.read_text().splitlines()]

    def right(self, texts: dict[str, str]) -> int:
        """Rows that are there once, with these texts."""
        return sum(texts[row] == text for row, text in self.written().items())

    def row(self) -> dict[str, Any]:
        """What happened."""
        lines = [json.loads(line) for line in self.out.read_text().splitlines()]
        prompt = sum(line["prompt_tokens"] for line in lines)
        return {
            "contender": self.name,
            "written": len(lines),
            "once": len(self.written()),
            "computed": len(self.computed()),
            "workers": len({line.split()[0] for line in self.log.read_text().splitlines()}),
            "seconds": self.seconds,
            "start s": max(self.first_s),
            "rows/s": len(lines) / self.seconds,
            "rows/s then": (len(lines) - self.first_rows) / (self.seconds - sum(self.first_s)),
            "hit rate": sum(line["cached_tokens"] for line in lines) / prompt,
        }


def _reap(patience_s: float = 5.0) -> None:
    """Wait for all that a driver left behind. Ray's parts end by themselves after it, but for two
    agents, which take it for dead only where init has adopted them."""
    end = time.monotonic() + patience_s
    with suppress(ChildProcessError):  # none is left
        while True:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.05)
            if time.monotonic() > end:
                for one in psutil.Process().children(recursive=True):
                    one.kill()


def _version(python: Path) -> str:
    asked = [str(python), "-c", "import ray; print(ray.__version__)"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
