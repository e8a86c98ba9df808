"""One command for a machine with a GPU: exactness tests on it, then the skeleton workload.

    python -m benchmarks gpu

First `tests/backend/radix/test_device.py` with RAMIFY_TEST_DEVICE=cuda: the answers of the engine
on the GPU are those of transformers on the CPU, in float32. Then random weights of the
SmolLM2-135M shape in bfloat16: 256 tokens of prompt, a skeleton of 64, 8 branches of 64 side by
side, and 64 more behind their join as text; and 16 branches of one prefix of 2,048 tokens. The
engine runs its reference attention on a GPU (torch's operators, no kernel of its own yet), so
these are first figures, beside transformers' `generate` on the same GPU, one request after the
other. Without CUDA the benchmark is skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import MissingDataError, Options, Report, interleave
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.harness.timing import Contender
from benchmarks.peers.ours import Ramify

SHAPE = LlamaShape(
    layers=30, hidden=576, heads=9, kv_heads=3, intermediate=1536, vocab=49152, spread=0.05
)
TESTS = "tests/backend/radix/test_device.py"
PROMPT, SKELETON, BRANCHES, POINT, CLOSING = 256, 64, 8, 64, 64
PREFIX, MANY, NEW = 2048, 16, 32


def ids(count: int, seed: int) -> list[int]:
    """Token ids that repeat nowhere soon."""
    return [(7919 * i + 104729 * seed + 11) % (SHAPE.vocab - 1) for i in range(count)]


def skeleton(ask: Any) -> int:
    """The workload over `ask(prompts, new tokens) -> answers`; returns the tokens written."""
    prompt = ids(PROMPT, 1)
    (outline,) = ask([prompt], SKELETON)
    points = ask([[*prompt, *outline, *ids(4, 10 + i)] for i in range(BRANCHES)], POINT)
    joined = [*prompt, *outline, *(token for point in points for token in point)]
    ask([[*joined, *ids(4, 2)]], CLOSING)
    return SKELETON + BRANCHES * POINT + CLOSING


def shared(ask: Any) -> int:
    """Branches of one long prefix."""
    prefix = ids(PREFIX, 3)
    ask([[*prefix, *ids(8, 20 + i)] for i in range(MANY)], NEW)
    return MANY * NEW


def exactness() -> Mapping[str, Any]:
    """Run the tests on the GPU; how many passed and failed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=400, check=False,
        env={**os.environ, "RAMIFY_TEST_DEVICE": "cuda"},
    )  # fmt: skip
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    return {"what": "exactness tests", "passed": counts.get("passed", 0),
            "failed": counts.get("failed", 0) + counts.get("error", 0)}  # fmt: skip


class Generate:
    """transformers' `generate` on the GPU, a request at a time, with its default cache."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._model = model.eval().to("cuda")

    def ask(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        import torch

        found = []
        with torch.inference_mode():
            for prompt in prompts:
                tokens = torch.tensor([prompt], device="cuda")
                out = self._model.generate(
                    tokens, attention_mask=torch.ones_like(tokens), do_sample=False,
                    max_new_tokens=count, min_new_tokens=count, pad_token_id=0,
                )  # fmt: skip
                found.append(out[0, len(prompt) :].tolist())
        return found


def run(options: Options) -> Report:
    """Raises MissingDataError where there is no CUDA."""
    import torch

    if not torch.cuda.is_available():
        raise MissingDataError(f"torch {torch.__version__} finds no CUDA device here")
    rows: list[Mapping[str, Any]] = [exactness()]
    folder = random_llama(SHAPE)
    ours = Ramify(folder, "bfloat16", device="cuda", pool_tokens=16384)
    plain = Generate(folder)
    ratios = {}
    for name, work in (("skeleton", skeleton), ("shared_2048x16", shared)):
        contenders = [
            Contender("ramify", partial(work, ours.run), lambda: ours.prepare([], 0)),
            Contender("hf generate", partial(work, plain.ask)),
        ]
        times = interleave(contenders, 5 if options.quick else options.repeats or 5)
        for engine, timing in times.items():
            rows.append(
                {"what": name, "engine": engine, "median_s": timing.median,
                 "spread": timing.spread, "tok_s": timing.result / timing.median}
            )  # fmt: skip
        ratios[name] = times["hf generate"].median / times["ramify"].median
    ours.close()
    report = Report("gpu", rows, ratios)
    report.machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    return report
