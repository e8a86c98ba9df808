"""A batch of one-call rows straight through vLLM, and the same through us, in vLLM's own process.

Runs under the interpreter of vLLM's environment: `python -m benchmarks.peers.vllm_batch`, the task
as JSON on standard input.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ramify as rf
from benchmarks.peers.serving import ENGINE, answer


def straight(folder: str, prompts: list[list[int]], tokens: int, repeats: int) -> dict[str, Any]:
    """`LLM.generate` over all prompts: seconds of each run, and the tokens."""
    from vllm import LLM, SamplingParams

    engine = LLM(model=folder, **ENGINE)
    params = SamplingParams(temperature=0, max_tokens=tokens)
    given: Any = [{"prompt_token_ids": ids} for ids in prompts]
    seconds, found = [], []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        outputs = engine.generate(given, params, use_tqdm=False)
        seconds.append(time.perf_counter() - begun)
        found = [list(one.outputs[0].token_ids) for one in outputs]
    engine.llm_engine.engine_core.shutdown()
    return {"seconds": seconds[1:], "tokens": sum(map(len, found))}


def ours(folder: str, rows: list[dict[str, str]], tokens: int, repeats: int) -> dict[str, Any]:
    """The same rows through `run_batch` on the in-process backend."""
    from ramify.backend.vllm import VLLMBackend
    from ramify.runtime import run_sync

    backend = VLLMBackend.open(folder, **ENGINE)
    seconds, written = [], 0
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        results = answer.run_batch(rows, backend=backend, concurrency=256, window=512)
        seconds.append(time.perf_counter() - begun)
        assert not results.failed, results.failed
        written = results.usage.output_tokens
    run_sync(backend.close())
    return {"seconds": seconds[1:], "tokens": written}


def main(task: dict[str, Any]) -> None:
    kind = task.pop("kind")
    found = straight(**task) if kind == "straight" else ours(**task)
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    rf.set_default_backend("fake:")
    main(json.load(sys.stdin))
