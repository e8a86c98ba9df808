"""Hugging Face transformers: `generate` on one batch, and continuous batching."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.engine import Engine, Prompts, shared_length

# (page size, tokens a step, leader first). Without flash attention a step builds one dense mask of
# all its tokens by all their keys, so that a large step wastes work
CONTINUOUS = [
    (page, tokens, leader)
    for page in (16, 64, 256)
    for tokens in (256, 512, 1024)
    for leader in (False, True)
]
STOPS = 30.0  # seconds within which a manager's thread should stop: a step takes a few
CONTINUOUS_QUICK = [(16, 256, False), (16, 512, True), (64, 256, False), (256, 1024, False)]


def load(folder: Path, dtype: str) -> Any:
    """The model as one would load it for speed: SDPA attention, evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    return model.eval()


def greedy(count: int, **options: Any) -> Any:
    """A generation config for exactly `count` tokens; the end token -1 never comes."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0, **options
    )


class Generate(Engine):
    """`model.generate` on the whole batch: the prefix is computed once per prompt."""

    name = "hf generate"

    def __init__(self, model: Any, setting: str, **options: Any) -> None:
        self.model, self.setting, self.options = model, setting, options

    def run(self, prompts: Prompts, count: int) -> list[list[int]]:
        import torch

        ids = torch.tensor(prompts)
        with torch.inference_mode():
            found = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=greedy(count, **self.options),
            )
        answers: list[list[int]] = found[:, ids.shape[1] :].tolist()
        return answers


class GenerateFromPrefix(Engine):
    """The prefix computed once by hand, its cache repeated for the batch, then `generate`.

    `generate` does not do this by itself: the caller has to know the prefix.
    """

    name = "hf generate, prefix by hand"
    setting = "dynamic cache"

    def __init__(self, model: Any) -> None:
        self.model = model

    def run(self, prompts: Prompts, count: int) -> list[list[int]]:
        import torch
        from transformers import DynamicCache

        ids = torch.tensor(prompts)
        shared = shared_length(prompts)
        with torch.inference_mode():
            cache = DynamicCache(config=self.model.config)
            self.model(ids[:1, :shared], past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache.batch_repeat_interleave(len(prompts))
            found = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=cache,
                generation_config=greedy(count),
            )
        self.cached = shared * (len(prompts) - 1)
        answers: list[list[int]] = found[:, ids.shape[1] :].tolist()
        return answers


class ContinuousBatching(Engine):
    """The loop of `generate_batch` on a manager that is started, but cold, before the clock runs.

    Prompts in one step share no block, because blocks become known only when they are computed.
    With `leader_first` the others are sent when the first prompt has its first token.
    """

    name = "hf continuous batching"

    def __init__(self, model: Any, page: int, tokens: int, leader_first: bool) -> None:
        self.model = model
        self.page, self.tokens, self.leader_first = page, tokens, leader_first
        order = "leader first" if leader_first else "all together"
        self.setting = f"page {page}, {tokens} tokens a step, {order}"
        self._manager: Any = None

    def finish(self) -> None:
        """Stop the manager's thread, and say so where it goes on: what is measured beside it is
        not worth much. A thread that never ends does not keep the process: see `__main__`."""
        manager, self._manager = self._manager, None
        if manager is None:
            return
        manager.stop(block=True, timeout=STOPS, hard_stop=True)
        if manager.is_running():
            print(f"{self.setting}: its thread still runs after {STOPS:.0f} s", file=sys.stderr)
        else:
            manager.destroy()  # waits for the thread, without end

    def prepare(self, prompts: Prompts, count: int) -> None:
        from transformers.generation.configuration_utils import ContinuousBatchingConfig
        from transformers.generation.continuous_batching.utils import WorkloadHints

        longest = max(map(len, prompts))
        blocks = -(-(longest + count) // self.page) + 1  # for one prompt
        config = ContinuousBatchingConfig(
            page_size=self.page,
            max_batch_tokens=self.tokens,
            num_blocks=(len(prompts) + 1) * blocks,
        )
        hints = WorkloadHints(
            max_prompt_length=longest, max_generated_length=count, num_requests=len(prompts)
        )
        self._manager = self.model.init_continuous_batching(
            generation_config=greedy(count),
            continuous_batching_config=config,
            workload_hints=hints,
        )
        self._manager.warmup()
        self._manager.start()
        # the thread makes its cache at its first request
        self._collect(self._manager.add_requests([prompts[0][:1]], max_new_tokens=1), 1)
        self._count_hits()

    def _count_hits(self) -> None:
        self.cached = 0
        cache = self._manager.batch_processor.cache
        search = cache.search_prefix_match

        def counted(name: str, ids: list[int]) -> int:
            found: int = search(name, ids)
            self.cached += found
            return found

        cache.search_prefix_match = counted

    def run(self, prompts: Prompts, count: int) -> list[list[int]]:
        manager = self._manager
        if not self.leader_first:
            return self._collect(manager.add_requests(prompts, max_new_tokens=count), count)
        leader = manager.add_request(prompts[0], max_new_tokens=count, streaming=True)
        self._next()
        rest = manager.add_requests(prompts[1:], max_new_tokens=count)
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


def engines(model: Any, *, quick: bool) -> list[Engine]:
    """The settings to try; the best one of each name is measured.

    Compiled continuous batching is not among them: every manager compiles anew, for far longer
    than a run takes.
    """
    found: list[Engine] = [
        Generate(model, "dynamic cache"),
        Generate(model, "static cache", cache_implementation="static", disable_compile=True),
        GenerateFromPrefix(model),
    ]
    if not quick:
        found.append(Generate(model, "static cache, compiled", cache_implementation="static"))
    settings = CONTINUOUS_QUICK if quick else CONTINUOUS
    return found + [ContinuousBatching(model, *setting) for setting in settings]
