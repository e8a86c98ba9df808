"""Doing what was planned: runs, events, streams and batches."""

from ramify.runtime.backends import (
    BackendLike,
    backends_of,
    close_backends,
    opened,
    set_default_backend,
)
from ramify.runtime.batch import Batch, BatchOptions
from ramify.runtime.batch_file import BatchFile, fingerprint, row_id
from ramify.runtime.events import Event, Sink
from ramify.runtime.execute import execute
from ramify.runtime.loop import run_async, run_sync
from ramify.runtime.policy import Policy, Retry, Timeouts, policy_of
from ramify.runtime.result import Result
from ramify.runtime.stream import AsyncStream, Stream
from ramify.runtime.task import Resolver, Task

__all__ = [
    "AsyncStream",
    "BackendLike",
    "Batch",
    "BatchFile",
    "BatchOptions",
    "Event",
    "Policy",
    "Resolver",
    "Result",
    "Retry",
    "Sink",
    "Stream",
    "Task",
    "Timeouts",
    "backends_of",
    "close_backends",
    "execute",
    "fingerprint",
    "opened",
    "policy_of",
    "row_id",
    "run_async",
    "run_sync",
    "set_default_backend",
]
