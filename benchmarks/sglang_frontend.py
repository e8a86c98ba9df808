"""Programs with branches through our runtime and SGLang's frontend; the server's cache is roomy.

Four programs (benchmarks/frontends), several rows of each at once, on one vLLM server: a skeleton
with 8 points, a tree of thoughts, a panel of judges, and questions about shared documents. Same
texts, same tokens written; each run has prompts that the server has not seen. Prompt tokens and
hits are the server's own counts. Each frontend with as many rows at once as it chooses.

    sglang_PROGRAM    seconds through the SGLang frontend over seconds through ours
    PROGRAM_limit     the same if our calls, in their order, were made by a client that does nothing
                      else (`the calls alone`): what the server's own time allows

Where the cache holds everything, both send the same work, the server finds the same in its cache,
and its arithmetic decides: nothing is to be won here, and `sglang_shared` and `sglang_pressed` have
the cases where something is. On two cores the engine's worker is the bottleneck: of a run of the
skeletons it uses 2.5 CPU seconds, its server 0.9 and either frontend 0.5 to 0.6, beside it.

Needs vLLM's environment and SGLang's (`make bench-peers`; RAMIFY_VLLM_PYTHON and
RAMIFY_SGLANG_PYTHON name other interpreters). A random model of 4 x 256 in float32.
"""

from __future__ import annotations

from benchmarks.frontends.match import ALONE, play
from benchmarks.frontends.settings import ROOMY, Case
from benchmarks.harness import Options, Report


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where an environment is missing."""
    ratios: dict[str, float] = {}

    def done(case: Case, seconds: dict[str, float]) -> None:
        ratios[f"sglang_{case.program}"] = seconds["sglang, auto"] / seconds["ramify"]
        ratios[f"{case.program}_limit"] = seconds["sglang, auto"] / seconds[ALONE]

    found, versions = play(ROOMY, options, done)
    return Report("sglang_frontend", found, ratios, versions)
