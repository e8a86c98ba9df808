"""Skeleton and branches against the plain answer, on vLLM through our backend for it.

The programs, the weights (random, the SmolLM2-135M shape, bf16) and the answer (8 points of 64
tokens, a skeleton of 64) of the benchmark `organize`; the server is vLLM's own, with its prefix
caching on. It finds whole pages of 32 tokens only, so each branch computes a little more again.

Needs vLLM's environment (`make test-vllm` makes it; RAMIFY_VLLM_PYTHON names another interpreter).

`vllm_skeleton_8x64`: seconds of the plain answer over those of skeleton and branches.
"""

from __future__ import annotations

from benchmarks.harness import Options, Report, interleave
from benchmarks.organize import QUICK, row
from benchmarks.organizing.model import SMOL, english_model
from benchmarks.organizing.ours import Programs, sequential, skeleton
from benchmarks.organizing.workload import QUESTION, VICUNA
from benchmarks.peers.serving import vllm_server
from benchmarks.serving import interpreter


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where vLLM is not installed."""
    from ramify.backend.openai import OpenAIBackend

    python = interpreter()
    folder = english_model(QUICK if options.quick else SMOL)
    answer = VICUNA[0]
    with vllm_server(python, folder, dtype="bfloat16") as server:
        programs = Programs(OpenAIBackend.open(f"{folder}@{server.url}", connections=16))
        contenders = [
            programs.contender(program, answer, QUESTION) for program in (sequential, skeleton)
        ]
        timings = interleave(contenders, options.repeats or 5)
        rows = [row(t, name, programs.results[name], None) for name, t in timings.items()]
        programs.close()
    plain, split = (timings[contender.name].median for contender in contenders)
    return Report("organize_vllm", rows, {"vllm_skeleton_8x64": plain / split})
