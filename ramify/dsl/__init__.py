"""The language: programs, states, operations, patterns."""

from ramify.dsl import patterns
from ramify.dsl.batch_run import BatchInterruptedError, BatchResult
from ramify.dsl.branches import Branches, EachBranches, first
from ramify.dsl.functions import (
    aresolve,
    call,
    cite,
    compress,
    lines,
    rerank,
    resolve,
    retrieve,
)
from ramify.dsl.operations import assistant, gen, score, select, system, tool, user
from ramify.dsl.pieces import blocks, vectors
from ramify.dsl.program import Program, program
from ramify.dsl.state import State
from ramify.dsl.typed import Outline
from ramify.dsl.value import Value

__all__ = [
    "BatchInterruptedError",
    "BatchResult",
    "Branches",
    "EachBranches",
    "Outline",
    "Program",
    "State",
    "Value",
    "aresolve",
    "assistant",
    "blocks",
    "call",
    "cite",
    "compress",
    "first",
    "gen",
    "lines",
    "patterns",
    "program",
    "rerank",
    "resolve",
    "retrieve",
    "score",
    "select",
    "system",
    "tool",
    "user",
    "vectors",
]
