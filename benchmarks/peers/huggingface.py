"""Hugging Face transformers: `generate` on one batch, and continuous batching.

Every way takes prompts of equal length as token ids and returns `count` new ids for each, greedily
and past any end token.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.timing import nothing

Prompts = list[list[int]]
Generate = Callable[[Prompts, int], list[list[int]]]


# (page size, tokens a step, leader first). Without flash attention a step builds one dense mask of
# all its tokens by all their keys, so that a large step wastes work
CONTINUOUS = [
    (page, tokens, leader)
    for page in (16, 64, 256)
    for tokens in (256, 512, 1024, 8192)
    for leader in (False, True)
]
CONTINUOUS_QUICK = [(16, 512, False), (16, 512, True), (64, 512, True)]


def shared_length(prompts: Prompts) -> int:
    """Tokens that all prompts begin with."""
    return next(
        (i for i, column in enumerate(zip(*prompts, strict=False)) if len(set(column)) > 1),
        min(map(len, prompts)),
    )


def _nothing(prompts: Prompts, count: int) -> None:
    """`generate` needs no preparation."""


@dataclass(frozen=True, slots=True)
class Way:
    """One setting of a peer, and how to run it."""

    peer: str  # "generate" or "continuous batching"
    setting: str
    run: Generate
    prepare: Callable[[Prompts, int], None] = _nothing
    close: Callable[[], None] = nothing
    shares_prefix: bool = False  # the shared prefix is computed once, not per prompt


def load(folder: Path, dtype: str) -> Any:
    """The model as a user would load it for speed: SDPA attention, inference mode."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    return model.eval()


def _config(count: int, **options: Any) -> Any:
    from transformers import GenerationConfig

    # end token -1: nothing ends early
    return GenerationConfig(
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=-1,
        pad_token_id=0,
        **options,
    )


def generate(model: Any, cache: str = "dynamic", **options: Any) -> Generate:
    """`model.generate` on the whole batch: the prefix is computed once per prompt."""
    import torch

    def run(prompts: Prompts, count: int) -> list[list[int]]:
        ids = torch.tensor(prompts)
        config = _config(count, cache_implementation=cache, **options)
        with torch.inference_mode():
            mask = torch.ones_like(ids)
            found = model.generate(ids, attention_mask=mask, generation_config=config)
        return found[:, ids.shape[1] :].tolist()

    return run


def generate_from_prefix(model: Any) -> Generate:
    """The prefix computed once by hand, its cache repeated for the batch, then `generate`."""
    import torch
    from transformers import DynamicCache

    def run(prompts: Prompts, count: int) -> list[list[int]]:
        ids = torch.tensor(prompts)
        shared = shared_length(prompts)
        with torch.inference_mode():
            cache = DynamicCache(config=model.config)
            model(ids[:1, :shared], past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache.batch_repeat_interleave(len(prompts))
            found = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=cache,
                generation_config=_config(count),
            )
        return found[:, ids.shape[1] :].tolist()

    return run


class ContinuousBatching:
    """The loop of `generate_batch` on a manager that is started, but cold, before the clock runs.

    Prompts that arrive together share no block, because blocks become known only when they are
    computed; with `leader_first` the first prompt is computed alone and the others find its blocks.
    """

    def __init__(self, model: Any, *, leader_first: bool = False, **options: Any) -> None:
        self.model = model
        self.leader_first = leader_first
        self.options = options
        self._open = ExitStack()
        self._manager: Any = None

    def close(self) -> None:
        """Stop the manager and free its cache."""
        self._open.close()

    def prepare(self, prompts: Prompts, count: int) -> None:
        """A new manager, so that no block of an earlier run is found, with its thread running."""
        from transformers.generation.configuration_utils import ContinuousBatchingConfig
        from transformers.generation.continuous_batching.utils import WorkloadHints

        self.close()
        page = self.options["page_size"]
        prompt = max(map(len, prompts))
        # room for every prompt by itself
        settings = {
            "num_blocks": (len(prompts) + 1) * (-(-(prompt + count) // page) + 1),
            **self.options,
        }
        hints = WorkloadHints(
            max_prompt_length=prompt, max_generated_length=count, num_requests=len(prompts)
        )
        self._manager = self._open.enter_context(
            self.model.continuous_batching_context_manager(
                generation_config=_config(count),
                continuous_batching_config=ContinuousBatchingConfig(**settings),
                workload_hints=hints,
                timeout=5,
            )
        )
        # the thread makes its cache at its first request
        self._collect(self._manager.add_requests([prompts[0][:1]], max_new_tokens=1), 1)

    def __call__(self, prompts: Prompts, count: int) -> list[list[int]]:
        if not self.leader_first:
            return self._collect(self._manager.add_requests(prompts, max_new_tokens=count), count)
        # blocks are known from the leader's first token on; it then goes on beside the others
        leader = self._manager.add_request(prompts[0], max_new_tokens=count, streaming=True)
        self._next()
        rest = self._manager.add_requests(prompts[1:], max_new_tokens=count)
        return self._collect([leader, *rest], count)

    def _next(self) -> Any:
        """The next result. Raises RuntimeError where there will be none."""
        while (result := self._manager.get_result(timeout=1)) is None:
            if not self._manager.is_running():
                raise RuntimeError("continuous batching stopped before its answers were there.")
        if result.error is not None:
            raise RuntimeError(f"continuous batching: {result.error}")
        return result

    def _collect(self, names: list[str], count: int) -> list[list[int]]:
        found: dict[str, list[int]] = {}
        while len(found) < len(names):
            result = self._next()
            if result.is_finished():
                found[result.request_id] = list(result.generated_tokens)
        answers = [found[name] for name in names]
        if any(len(answer) != count for answer in answers):
            raise RuntimeError("continuous batching returned answers of another length.")
        return answers


def ways(model: Any, *, quick: bool) -> list[Way]:
    """The settings to try; the best one of each peer is measured."""
    found = [
        Way("generate", "dynamic cache, sdpa", generate(model)),
        Way("generate", "static cache, sdpa", generate(model, "static", disable_compile=True)),
        Way(
            "generate from a prefix cache",
            "cache made by hand",
            generate_from_prefix(model),
            shares_prefix=True,
        ),
    ]
    if not quick:
        found.append(Way("generate", "static cache, compiled", generate(model, "static")))
    for page, tokens, leader in CONTINUOUS_QUICK if quick else CONTINUOUS:
        engine = ContinuousBatching(
            model, leader_first=leader, page_size=page, max_batch_tokens=tokens
        )
        setting = f"page {page}, {tokens} tokens a step, "
        setting += "leader first" if leader else "all together"
        found.append(
            Way("continuous batching", setting, engine, engine.prepare, engine.close, leader)
        )
    return found
