"""Ramify: an optimizing compiler and runtime for LLM programs.

Write the program; Ramify decides what to shorten, what to run side by side, and what to compute
only once. `import ramify as rf`, then mark a function with `@rf.program`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ramify.backend import Backend, FakeBackend, open_backend, register_backend
from ramify.dsl import (
    BatchInterruptedError,
    BatchResult,
    Branches,
    EachBranches,
    Outline,
    Program,
    State,
    Value,
    aresolve,
    assistant,
    blocks,
    call,
    cite,
    compress,
    first,
    gen,
    lines,
    patterns,
    program,
    rerank,
    resolve,
    retrieve,
    score,
    select,
    system,
    tool,
    user,
    vectors,
)
from ramify.errors import RamifyError
from ramify.ir import Sampling
from ramify.planner import Plan
from ramify.runtime import (
    Event,
    Policy,
    Result,
    Retry,
    Timeouts,
    close_backends,
    set_default_backend,
)

if TYPE_CHECKING:
    from ramify.retrieval import Index

__version__ = "0.1.0"

_LAZY = {"Index": "ramify.retrieval"}  # numpy is imported when somebody retrieves


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ramify' has no attribute {name!r}")


def _open_demo(path: str, options: Mapping[str, str]) -> Backend:
    from ramify.demo.backend import open_demo

    return open_demo(path, options)


register_backend("demo", _open_demo, '"demo"')

__all__ = [
    "BatchInterruptedError",
    "BatchResult",
    "Branches",
    "EachBranches",
    "Event",
    "FakeBackend",
    "Index",
    "Outline",
    "Plan",
    "Policy",
    "Program",
    "RamifyError",
    "Result",
    "Retry",
    "Sampling",
    "State",
    "Timeouts",
    "Value",
    "aresolve",
    "assistant",
    "blocks",
    "call",
    "cite",
    "close_backends",
    "compress",
    "first",
    "gen",
    "lines",
    "open_backend",
    "patterns",
    "program",
    "register_backend",
    "rerank",
    "resolve",
    "retrieve",
    "score",
    "select",
    "set_default_backend",
    "system",
    "tool",
    "user",
    "vectors",
]
