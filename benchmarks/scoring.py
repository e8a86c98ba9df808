"""Scores: options behind one prompt, and a prompt's own tokens, against a forward of transformers.

A Llama of 28 million random weights in bf16. `options`: 16 options of 8 tokens behind a prompt of
512, each run with a new salt, against one padded batch of 16 whole sequences, and against a prompt
that the caller computes and repeats by hand. `prompt`: the log-probability of each of 2,048 tokens
on a cold cache, against one forward and its log-softmax; `prompt, again` once the values are
there, and `prompt, longer` for 256 tokens more behind the known ones, against a whole forward.

Ratios are transformers' seconds over ours (its best way), medians of interleaved runs.
`largest_difference` is that of a log-probability from transformers' first way: in float32 it shows
that the numbers are the same; in bf16, with wide random weights, what rounding in another order
does to them (transformers' two ways differ among themselves too).
"""

from __future__ import annotations

import asyncio
import random
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Options, Report, interleave
from benchmarks.harness.models import LlamaShape, random_llama

SMALL = LlamaShape(layers=4, hidden=256, intermediate=704, dtype="float32")


class Plain:
    """The model as transformers runs it."""

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.torch = torch
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self.model.eval()

    def _logprobs(self, logits: Any, targets: Any) -> Any:
        logits = logits.float()
        chosen = logits.gather(-1, targets[..., None])[..., 0]
        return chosen - logits.logsumexp(-1)

    def prompt(self, ids: list[int]) -> list[float]:
        """One forward over all."""
        with self.torch.inference_mode():
            tokens = self.torch.tensor([ids])
            logits = self.model(tokens, use_cache=False).logits[0, :-1]
            found: list[float] = self._logprobs(logits, tokens[0, 1:]).tolist()
        return found

    def options(self, ids: list[int], options: list[list[int]]) -> list[list[float]]:
        """Whole sequences as one batch."""
        with self.torch.inference_mode():
            rows = self.torch.tensor([[*ids, *option] for option in options])
            keep = len(options[0]) + 1
            logits = self.model(rows, use_cache=False, logits_to_keep=keep).logits[:, :-1]
            found: list[list[float]] = self._logprobs(logits, rows[:, len(ids) :]).tolist()
        return found

    def options_by_hand(self, ids: list[int], options: list[list[int]]) -> list[list[float]]:
        """The prompt once, its cache repeated for all options."""
        with self.torch.inference_mode():
            head = self.model(self.torch.tensor([ids]), use_cache=True, logits_to_keep=1)
            cache = head.past_key_values
            cache.batch_repeat_interleave(len(options))
            rows = self.torch.tensor(options)
            rest = self.model(rows, past_key_values=cache).logits[:, :-1]
            first = head.logits.expand(len(options), -1, -1)
            logits = self.torch.cat((first, rest), 1)
            found: list[list[float]] = self._logprobs(logits, rows).tolist()
        return found


class Ours:
    """The embedded engine."""

    def __init__(self, folder: Path, dtype: str) -> None:
        from ramify.backend.radix import RadixBackend

        self._runner = asyncio.Runner()
        self._backend = RadixBackend.open(folder, dtype=dtype, pool_tokens=16384)
        self._salts = count()

    def score(
        self, ids: list[int], options: list[list[int]], start: int | None, salt: str = ""
    ) -> Any:
        """Scores; without a salt on a cold cache."""
        from ramify.backend.contract import ScoreRequest, TokenPrompt

        request = ScoreRequest(
            prompt=TokenPrompt(tuple(ids)), continuations=tuple(map(tuple, options)),
            prompt_from=start, salt=salt or f"run {next(self._salts)}",
        )  # fmt: skip
        return self._runner.run(self._backend.score(request))

    def close(self) -> None:
        self._runner.run(self._backend.close())
        self._runner.close()


def compare(shape: LlamaShape, *, prompt: int, long: int, repeats: int) -> tuple[Any, Any]:
    """Rows and ratios of one model."""
    chance = random.Random(3)
    more = 256 * long // 2048
    head, text = ([chance.randrange(4000) for _ in range(n)] for n in (prompt, long + more))
    options = [[chance.randrange(4000) for _ in range(8)] for _ in range(16)]
    folder = random_llama(shape)
    plain, ours = Plain(folder, shape.dtype), Ours(folder, shape.dtype)
    salts = (f"longer {n}" for n in count())
    fresh = ""

    def warm() -> None:
        nonlocal fresh
        fresh = next(salts)
        ours.score(text[:long], [], 1, fresh)

    ours.score(text[:long], [], 1, "again")
    known = Contender("ramify", lambda: ours.score(text[:long], [], 1, "again").prompt)
    grown = Contender("ramify", lambda: ours.score(text, [], 1, fresh).prompt, prepare=warm)
    forward = Contender("hf forward", lambda: plain.prompt(text[:long]))
    workloads = {
        f"options_16x{prompt}": [
            Contender("ramify", lambda: ours.score(head, options, None).logprobs),
            Contender("hf batch", lambda: plain.options(head, options)),
            Contender("hf, prompt by hand", lambda: plain.options_by_hand(head, options)),
        ],
        f"prompt_{long}": [
            Contender("ramify", lambda: ours.score(text[:long], [], 1).prompt),
            forward,
        ],
        "prompt, again": [known, forward],
        "prompt, longer": [grown, Contender("hf forward", lambda: plain.prompt(text))],
    }
    rows, ratios = [], {}
    for name, contenders in workloads.items():
        timings = interleave(contenders, repeats)
        best = min(t.median for who, t in timings.items() if who != "ramify")
        ratios[name.replace(", ", "_")] = best / timings["ramify"].median
        theirs = flat(timings[contenders[1].name].result)
        for who, timing in timings.items():
            worst = max(abs(a - b) for a, b in zip(flat(timing.result), theirs, strict=True))
            rows.append(
                {
                    "model": shape.dtype, "workload": name, "engine": who,
                    "median_s": timing.median, "spread": timing.spread, "largest_difference": worst,
                }
            )  # fmt: skip
    ours.close()
    return rows, ratios


def flat(values: Any) -> list[float]:
    """All numbers of nested lists, in order."""
    if isinstance(values, float):
        return [values]
    return [number for part in values for number in flat(part)]


def run(options: Options) -> Report:
    """The measured model, and a small one in float32 for exactness."""
    repeats = options.repeats or 5
    shape = SMALL if options.quick else LlamaShape()
    size = {"prompt": 64, "long": 256} if options.quick else {"prompt": 512, "long": 2048}
    rows, ratios = compare(shape, repeats=repeats, **size)
    if not options.quick:
        rows += compare(SMALL, prompt=64, long=256, repeats=5)[0]
    return Report("scoring", rows, ratios)
