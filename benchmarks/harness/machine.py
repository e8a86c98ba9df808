"""The machine: what it is, and what else kept it busy while a benchmark ran."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

BUSY_CORES = 0.2  # cores used by other processes, from which on timings are not to be trusted


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """The threads that a benchmark computes on: OMP_NUM_THREADS where it is set, else one a core.

    Raises ValueError for a value that is no number of threads.
    """
    text = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not text:
        return cores()
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"OMP_NUM_THREADS={text!r} is not a number of threads.")
    return int(text)


def peak_memory() -> int:
    """The most bytes that this process has had resident."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:  # not Linux: bytes on macOS
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss would count the parent's memory too, as it was when this process was forked off it
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak) * 1024


def version(package: str) -> str:
    """The installed version, or "" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def describe() -> dict[str, Any]:
    """What a reader needs to judge the numbers; says nothing about where the machine stands."""
    versions = {name: version(name) for name in ("torch", "transformers", "numpy")}
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name, found in versions.items() if found},
    }


def own_seconds() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def all_seconds() -> float:
    """CPU seconds that the whole machine has worked."""
    found = psutil.cpu_times()
    idle = found.idle + getattr(found, "iowait", 0.0)
    # guest time is counted in user time as well
    guest = getattr(found, "guest", 0.0) + getattr(found, "guest_nice", 0.0)
    return sum(found) - idle - guest


class Watch:
    """Counts, while it is open, the cores that other processes used.

    The load average is no measure for that: it counts the benchmark itself and lags by a minute.
    """

    def __init__(self) -> None:
        self.others = 0.0

    def __enter__(self) -> Watch:
        self._started = time.perf_counter()
        self._own, self._all = own_seconds(), all_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall = max(time.perf_counter() - self._started, 1e-9)
        others = (all_seconds() - self._all) - (own_seconds() - self._own)
        self.others = max(0.0, others / wall)

    @property
    def warning(self) -> str:
        """Why the timings are not to be trusted, or ""."""
        if self.others < BUSY_CORES:
            return ""
        return f"other processes used {self.others:.1f} cores: these timings are not to be quoted."

    def found(self) -> dict[str, Any]:
        """For the report: the cores, and the warning where there is one."""
        found: dict[str, Any] = {"cores_used_by_others": round(self.others, 2)}
        if self.warning:
            found["warning"] = self.warning
        return found
