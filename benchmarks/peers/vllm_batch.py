"""A batch of one-call rows straight through vLLM, and the same through us, in vLLM's own process.

Runs under the interpreter of vLLM's environment: `python -m benchmarks.peers.vllm_batch`, the task
as JSON on the first line of standard input; each further line says what to do: prepare, or run.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ramify as rf
from benchmarks.peers.serving import ENGINE, answer


@contextmanager
def straight(folder: str, prompts: list[list[int]], tokens: int) -> Iterator[Callable[[], int]]:
    """`LLM.generate` over all prompts; returns the tokens written."""
    from vllm import LLM, SamplingParams

    engine = LLM(model=folder, **ENGINE)
    params = SamplingParams(temperature=0, max_tokens=tokens)
    given: Any = [{"prompt_token_ids": ids} for ids in prompts]

    def run() -> int:
        outputs = engine.generate(given, params, use_tqdm=False)
        return sum(len(one.outputs[0].token_ids) for one in outputs)

    yield run
    engine.llm_engine.engine_core.shutdown()


@contextmanager
def ours(folder: str, rows: list[dict[str, str]], tokens: int) -> Iterator[Callable[[], int]]:
    """The same rows through `run_batch` on the in-process backend."""
    from ramify.backend.vllm import VLLMBackend
    from ramify.runtime import run_sync

    backend = VLLMBackend.open(folder, **ENGINE)

    def run() -> int:
        results = answer.run_batch(rows, backend=backend, concurrency=256)
        assert not results.failed, results.failed
        return results.usage.output_tokens

    yield run
    run_sync(backend.close())


def main(lines: Iterator[str]) -> None:
    task = json.loads(next(lines))
    kind = task.pop("kind")
    with straight(**task) if kind == "straight" else ours(**task) as run:
        print("RESULT " + json.dumps({"ready": True}), flush=True)
        for line in lines:
            found: dict[str, Any] = {}
            if json.loads(line)["do"] == "prepare":
                gc.collect()
            else:
                found["tokens"] = run()
            print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    rf.set_default_backend("fake:")
    main(iter(sys.stdin))
