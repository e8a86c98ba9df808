"""Writing an answer in parts side by side: skeleton and branches against the plain answer.

A question as long as those of Vicuna-80, then 512 (or 384) tokens of answer: in one go, or as a
skeleton whose points are branches: 8 of 64 tokens, 4 of 128, 12 of 32, with 8 tokens a point for
the skeleton, which come on top. Random weights of the SmolLM2-135M shape in bf16, a cold cache for
every run, the time of the whole program from `run` to its result. `auto` is `organize="auto"` with
a router that always says yes: what it decides is the cost model's choice, with the engine's
measured profile.

`skeleton_8x64`: seconds of the plain answer over those of skeleton and branches.
`auto_never_slower`: the smallest of plain over `auto`, over the profiles, an answer too short to
split, and a batch that is full without splitting.
`prompt_tokens_8x64`: 1.3 times the prompt tokens that the plain answer computes, over those of
skeleton and branches together, behind about 512 tokens. `prompt_tokens_bare_8x64`: the same behind
a bare question of 41. What a skeleton adds does not grow with the prompt: the request for it (29),
that for a point (11), and for each point its number and title (8) and what the chat template puts
before an answer (5). The titles alone are more than the budget there, so it cannot hold; `begun`
answers save the last part.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import Options, Report, Timing, interleave
from benchmarks.harness.machine import threads
from benchmarks.harness.models import LlamaShape
from benchmarks.harness.timing import once
from benchmarks.organizing.model import SMOL, english_model
from benchmarks.organizing.ours import Programs, auto, begun, sequential, skeleton
from benchmarks.organizing.workload import QUESTION, VICUNA, Answer, passages
from benchmarks.roofline import Limits, calibrate
from ramify.dsl.patterns.skeleton_of_thought import LEAST_TOKENS
from ramify.runtime.loop import run_sync

QUICK = replace(SMOL, layers=8)
SHORT = Answer(2, 16)  # not worth splitting
ROWS, ROW = 64, Answer(4, 8)  # a batch that is full without splitting
SENTENCES = 9  # of a prompt of about 512 tokens
BEHIND, BARE = ", behind 512", ", bare question"


def plain_of(answer: Answer) -> Answer:
    """The profile whose plain answer was measured: one of 512 tokens is like the other."""
    return next((one for one in VICUNA if one.total == answer.total), answer)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def row(timing: Timing, name: str, result: Any, limit: float | None) -> Mapping[str, Any]:
    """The measured line of a program."""
    usage = result.usage
    return {
        "program": name,
        "median_s": timing.median,
        "best_s": timing.best,
        "spread": timing.spread,
        "calls": sum(1 for a in result.accounts.values() if a.prompt_tokens),
        "prompt computed": usage.computed_tokens,
        "cached": usage.cached_tokens,
        "written": usage.output_tokens,
        "limit_%": 100 * limit / timing.median if limit else None,
    }


def limit_of(
    answer: Answer, shape: LlamaShape, limits: Limits, plain: int, computed: int
) -> float:
    """The least seconds of a program on this machine."""
    if computed == plain:
        return answer.sequential_limit(shape, limits, plain)
    return answer.split_limit(shape, limits, plain, computed)


def vllm_line() -> Mapping[str, Any]:
    """Where the line of vLLM is."""
    return {"program": "vllm: skipped here, it has an environment of its own: see organize_vllm"}


def measure(
    folder: Path, shape: LlamaShape, options: Options
) -> tuple[list[Mapping[str, Any]], dict[str, float], Mapping[str, Any]]:
    """The rows and ratios on one model."""
    from ramify.backend.radix import RadixBackend

    backend = RadixBackend.open(str(folder), dtype=shape.dtype, pool_tokens=16384)
    profile = run_sync(backend.calibrate())
    programs = Programs(backend)
    long = passages(SENTENCES)
    made = [
        (program, answer, QUESTION, "")
        for answer in VICUNA
        for program in (sequential, skeleton, auto)
        if program is not sequential or answer is plain_of(answer)
    ]
    made += [(program, SHORT, QUESTION, "") for program in (sequential, auto)]
    contenders = [programs.contender(p, a, prompt, about=about) for p, a, prompt, about in made]
    batches = [
        programs.contender(program, ROW, QUESTION, rows=ROWS, about=f", {ROWS} rows")
        for program in (sequential, auto)
    ]
    repeats = options.repeats or 5
    note(f"measuring {len(contenders) + len(batches)} programs in turns, {repeats} times")
    # a warm-up for all, and the tokens behind a long prompt: they run the same code
    short = Answer(VICUNA[0].points, LEAST_TOKENS)
    for program in (sequential, skeleton, begun):
        once(programs.contender(program, short, long, about=BEHIND))
        once(programs.contender(program, short, QUESTION, about=BARE))
    timings = interleave([*contenders, *batches], repeats, warmups=0)
    limits = calibrate(shape.dtype)
    computed = {name: one.usage.computed_tokens for name, one in programs.results.items()}
    rows: list[Mapping[str, Any]] = []
    for contender, (_, answer, _, _) in zip(contenders, made, strict=True):
        name = contender.name
        plain = computed[f"sequential {plain_of(answer).name}"]
        least = limit_of(answer, shape, limits, plain, computed[name])
        rows.append(row(timings[name], name, programs.results[name], least))
    rows += [row(timings[b.name], b.name, programs.results[b.name], None) for b in batches]
    for name in (name for name in computed if name.endswith((BEHIND, BARE))):
        cached = programs.results[name].usage.cached_tokens
        tokens = {"prompt computed": computed[name], "cached": cached}
        rows.append({"program": f"{name}, tokens only", **tokens})
    rows.append(vllm_line())
    programs.close()
    steps = ", ".join(f"{batch}: {1000 * s:.1f} ms" for batch, s in profile.decode_s)
    about_engine = {"decode_step": steps, "prefill_ms_per_token": 1000 * profile.prefill_s}
    return rows, ratios_of(timings, computed), about_engine


def ratios_of(timings: Mapping[str, Timing], computed: Mapping[str, int]) -> dict[str, float]:
    """Plain over split, over `auto`, and the budget of prompt tokens."""
    medians = {name: timing.median for name, timing in timings.items()}
    found = {
        f"skeleton_{a.points}x{a.tokens}": medians[f"sequential {plain_of(a).name}"]
        / medians[f"skeleton {a.name}"]
        for a in VICUNA
    }
    short = Answer(VICUNA[0].points, LEAST_TOKENS).name  # prompt tokens do not depend on the length
    autos = {f"auto {a.name}": f"sequential {plain_of(a).name}" for a in VICUNA}
    others = [name for name in medians if name.startswith("auto") and name not in autos]
    autos |= {name: name.replace("auto", "sequential", 1) for name in others}
    found["auto_never_slower"] = min(medians[one] / medians[name] for name, one in autos.items())
    for name, where in (("prompt_tokens_8x64", BEHIND), ("prompt_tokens_bare_8x64", BARE)):
        plain, split = computed[f"sequential {short}{where}"], computed[f"skeleton {short}{where}"]
        found[name] = 1.3 * plain / split
    return found


def run(options: Options, shape: LlamaShape | None = None) -> Report:
    """Measure; another shape is for trying the benchmark itself."""
    import torch

    torch.set_num_threads(threads())
    shape = shape or (QUICK if options.quick else SMOL)
    rows, ratios, machine = measure(english_model(shape), shape, options)
    return Report("organize", rows, ratios, {"torch_threads": torch.get_num_threads(), **machine})
