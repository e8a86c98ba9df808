"""What the engine counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Metrics:
    """Counters since the start. Who fills: the engine."""

    steps: int = 0
    rows: int = 0  # tokens computed
    decoded: int = 0  # of them: rows that were a step of their own
    finished: int = 0  # requests
    cancelled: int = 0
    failed: int = 0
    drafted: int = 0  # tokens that were guessed,
    accepted: int = 0  # and were right
    forks: int = 0
    peak_live: int = 0  # the most slots that were in use by requests at once
    peak_unfreed: int = 0  # the same, had branches held their KV until their request's end


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an engine between two steps: slots, counters, queues."""

    slots: int
    free: int
    cached: int  # tokens in the tree that no request uses now
    running: int
    waiting: int
    asked: int  # prompt tokens looked for in the cache so far,
    hits: int  # and found
    evicted: int  # tokens
    host_slots: int  # of the host tier; 0 without one
    host_used: int
    host_stored: int  # tokens copied there so far,
    host_loaded: int  # and back
    preempted: int  # times that a request lost its slots
    steps: int
    rows: int
    decoded: int
    finished: int
    cancelled: int
    failed: int
    drafted: int
    accepted: int
    forks: int
    peak_live: int
    peak_unfreed: int

    @property
    def used(self) -> int:
        """Slots in use or cached."""
        return self.slots - self.free
