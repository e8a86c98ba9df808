"""Which dtype this machine computes faster in: measured by `calibrate`, asked by `dtype="auto"`.

What is faster differs between machines (bfloat16 by far where the processor multiplies it, float32
elsewhere) and hardly between models, so a small stand-in is measured through the engine's own
bodies, once, and the result kept in the user's cache. Opening a model never measures.
"""

from __future__ import annotations

import json
import os
import platform
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from ramify.backend.radix.devices import model_of
from ramify.errors import BackendError

CANDIDATES = ("float32", "bfloat16")
Seconds = dict[str, dict[str, float]]  # dtype -> what was measured -> seconds
_SHAPE = {
    "num_hidden_layers": 4, "hidden_size": 1024, "intermediate_size": 2816, "vocab_size": 4096,
    "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 512,
}  # fmt: skip
_BATCH = 16


def cache_file() -> Path:
    """Where measurements are kept; RAMIFY_CALIBRATION names another file."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RAMIFY_CALIBRATION") or Path(root) / "ramify" / "dtypes.json")


def machine(device: torch.device) -> str:
    """A key that is another one where a measurement would say something else: processor or GPU,
    threads, version of torch."""
    about: tuple[object, ...] = (
        torch.__version__,
        platform.machine(),
        device.type,
        torch.get_num_threads(),
    )
    about += model_of(device)
    return blake2b(repr(about).encode(), digest_size=12).hexdigest()


def faster(device: torch.device) -> str | None:
    """The dtype that was measured faster on this machine; None where nothing was measured.

    Raises BackendError for a file that cannot be read.
    """
    path = cache_file()
    try:
        kept = json.loads(path.read_text("utf-8"))
        found: Seconds | None = kept.get(machine(device))
        return None if found is None else better(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise BackendError(
            f"the calibration in {str(path)!r} cannot be read: {type(error).__name__}: {error}",
            hint="Delete it; `calibrate()` writes it again. Or name a dtype.",
        ) from error


def better(found: Seconds) -> str:
    """bfloat16 where all that was measured took less time in it; else float32, which is exact."""
    exact, rounded = (found[name] for name in CANDIDATES)
    return "bfloat16" if all(rounded[name] < exact[name] for name in exact) else "float32"


def keep(device: torch.device, found: Seconds) -> None:
    """Write a measurement of this machine beside those of others; warns where that fails."""
    path = cache_file()
    try:
        kept = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps({**kept, machine(device): found}, indent=1), "utf-8")
        part.replace(path)
    except (OSError, ValueError, TypeError) as error:
        warnings.warn(
            f"the calibration cannot be kept in {str(path)!r}: {error}", RuntimeWarning,
            stacklevel=2,
        )  # fmt: skip


def calibrate(device: torch.device, *, native: bool = True, fused: bool = True) -> None:
    """Measure and keep, where this machine was not measured before."""
    if faster(device) is None:
        keep(device, measure(device, native=native, fused=fused))


def measure(device: torch.device, *, native: bool = True, fused: bool = True) -> Seconds:
    """Seconds per prompt token and of a step of 16 answers in each dtype, by the bodies that an
    engine with these options uses; takes a few seconds."""
    from ramify.backend.radix.calibration import measure as seconds

    found: Seconds = {}
    for name in CANDIDATES:
        numbers = seconds(_stand_in(device, getattr(torch, name), native=native, fused=fused))
        step = dict(numbers["decode_s"])[_BATCH]
        found[name] = {"prefill_s": numbers["prefill_s"], "decode_s": step}
    return found


def _stand_in(device: torch.device, dtype: torch.dtype, *, native: bool, fused: bool) -> Any:
    """An engine over a small random Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from ramify.backend.radix.cache import Cache
    from ramify.backend.radix.engine import Engine
    from ramify.backend.radix.hf_body import ATTENTION, register_attention
    from ramify.backend.radix.model import LanguageModel
    from ramify.backend.radix.pool import KVPool
    from ramify.backend.radix.scheduler import Scheduler
    from ramify.backend.radix.setup import best_body

    register_attention()
    with torch.random.fork_rng():
        model = LlamaForCausalLM(LlamaConfig(**_SHAPE)).to(dtype)
    model.set_attn_implementation(ATTENTION)
    model = model.requires_grad_(False).eval().to(device)
    context = _SHAPE["max_position_embeddings"]
    body = best_body(model, context=context, native=native, fused=fused)
    language = LanguageModel(body, KVPool(1, device), context=context)
    return Engine(language, Scheduler(Cache(1), max_batch=_BATCH))
