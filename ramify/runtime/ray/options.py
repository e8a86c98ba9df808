"""How a batch runs on Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ramify.errors import ProgramError


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """`workers` actors, each with an engine of its own.

    An actor asks Ray for `num_cpus` and `num_gpus`; rows go to it `chunk` at a time, with at most
    `ahead` chunks waiting. A chunk whose actor died is given to another one, `restarts` times;
    after that its rows fail. `init` goes to `ray.init` where Ray does not run yet.
    """

    workers: int = 2
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    chunk: int = 32
    ahead: int = 2
    window: int = 2048  # rows that are read and ordered ahead
    restarts: int = 3
    address: str | None = None  # None: a cluster that this process knows of, else a local one
    init: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("workers", "chunk", "ahead", "window"):
            if getattr(self, name) < 1:
                raise ProgramError(f"{name}={getattr(self, name)} is not allowed.", hint="1 least.")
