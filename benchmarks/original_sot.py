"""Skeleton-of-Thought as a program of ours against the original way of doing it.

The original writes the skeleton with one call of `generate`, then all points in one left-padded
batch of whole prompts, which share nothing. Ours shares question, skeleton and request in the tree
of the engine. Same weights (random, the SmolLM2-135M shape, bf16), same texts, 8 points of 64
tokens and a skeleton of 64, behind a question as long as those of Vicuna-80.

`original_sot`: seconds of the original over ours, medians of interleaved runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Options, Report, interleave
from benchmarks.harness.machine import threads
from benchmarks.harness.models import LlamaShape
from benchmarks.organize import QUICK, row
from benchmarks.organizing.model import SMOL, english_model
from benchmarks.organizing.original import Original
from benchmarks.organizing.ours import Programs, skeleton
from benchmarks.organizing.workload import QUESTION, VICUNA
from benchmarks.peers import huggingface


def run(options: Options, shape: LlamaShape | None = None) -> Report:
    """Measure; another shape is for trying the benchmark itself."""
    import torch
    from transformers import AutoTokenizer

    from ramify.backend.radix import RadixBackend

    torch.set_num_threads(threads())
    shape = shape or (QUICK if options.quick else SMOL)
    folder = english_model(shape)
    answer = VICUNA[0]
    programs = Programs(RadixBackend.open(str(folder), dtype=shape.dtype, pool_tokens=16384))
    model, tokenizer = (
        huggingface.load(folder, shape.dtype), AutoTokenizer.from_pretrained(folder)
    )  # fmt: skip
    original = Original(model, tokenizer, QUESTION, answer)
    ours, theirs = programs.contender(skeleton, answer, QUESTION), original.contender()
    timings = interleave([ours, theirs], options.repeats or 5)
    rows: list[Mapping[str, Any]] = [
        row(timings[ours.name], ours.name, programs.results[ours.name], None)
    ]
    timing = timings[theirs.name]
    rows.append(
        {"program": theirs.name, "median_s": timing.median, "best_s": timing.best,
         "spread": timing.spread, "calls": 2, "prompt computed": original.computed, "cached": 0,
         "written": answer.total + answer.skeleton_tokens}
    )  # fmt: skip
    programs.close()
    ratios = {"original_sot": timing.median / timings[ours.name].median}
    return Report("original_sot", rows, ratios, {"torch_threads": torch.get_num_threads()})
