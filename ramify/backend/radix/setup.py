"""From a model folder to an engine that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ramify.backend.contract import Profile
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.devices import free_bytes, open_device, total_bytes
from ramify.backend.radix.draft import Drafter
from ramify.backend.radix.draft_cost import DraftPolicy
from ramify.backend.radix.draft_model import DraftModel
from ramify.backend.radix.dtypes import faster
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.families import context_of, vector_width
from ramify.backend.radix.find_rope import find_rope
from ramify.backend.radix.fused import FusedBody, can_fuse
from ramify.backend.radix.hf_body import ATTENTION, HFBody, register_attention
from ramify.backend.radix.host import HostTier
from ramify.backend.radix.int8 import quantize_modules, weight_bytes
from ramify.backend.radix.loading import find_folder, load_model
from ramify.backend.radix.model import Body, LanguageModel
from ramify.backend.radix.native.body import NativeBody, can_run
from ramify.backend.radix.native.build import try_library
from ramify.backend.radix.options import RadixOptions, host_slots, pool_slots
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.rope import Rope
from ramify.backend.radix.saved import Identity, digest_of
from ramify.backend.radix.scheduler import Scheduler
from ramify.backend.radix.self_test import SelfTest
from ramify.errors import BackendError, CapabilityError, ModelLoadError

_FLOPS = 2e11  # per second: a first guess for two CPU cores; `calibrate` measures
_BYTES = 2e10  # per second
_INT8_ERROR = 0.3  # of logits, relative: more is no rounding of weights


@dataclass(frozen=True, slots=True)
class Parts:
    """What a backend is made of."""

    name: str
    folder: Path
    context: int
    slots: int
    weight_bytes: int
    vector_width: int  # of vectors in prompts; 0 where the model takes none
    engine: Engine
    profile: Profile
    no_blocks: str  # why the model cannot read parallel blocks; empty where it can
    identity: Identity  # what a saved prefix must have in common with it
    prepare: Callable[[], None]  # to be called in the thread that runs the engine


def assemble(source: str | Path, options: RadixOptions) -> Parts:
    """Load and test a model, and build an engine for it. Raises ModelLoadError."""
    folder = find_folder(source)
    name = options.name or folder.name
    device = open_device(options.device)
    _set_threads(options.threads)
    register_attention()
    model, config = load_model(
        folder, device=options.device, dtype=options.dtype,
        preferred=faster(device) if options.dtype == "auto" else None,
        remote_code=options.remote_code, attention=ATTENTION,
    )  # fmt: skip
    context, dtype = context_of(config), str(model.dtype)
    held = weight_bytes(model, options.quantize)
    profile = Profile(name=name, context=context, max_batch=options.max_batch)
    profile = _first_guess(model, held, profile)
    width = vector_width(model)
    test = SelfTest(model, device)
    body: Body = HFBody(model)
    slot_bytes = test.run(body)
    rope, no_blocks = _rope(model, body, context, device)
    body = _best(model, body, test, options, context, device)
    slots = pool_slots(
        options, slot_bytes=slot_bytes, context=context, free_bytes=partial(free_bytes, device)
    )
    _check_pool(slots, slot_bytes, device)
    pool, cache = KVPool(slots, device), Cache(slots, shared=options.cache)
    if options.host_bytes:
        cache.attach(host_tier(pool, host_slots(options, slot_bytes)))
    scheduler = Scheduler(
        cache,
        max_batch=options.max_batch, budget=options.token_budget, patience=options.patience,
    )  # fmt: skip
    language = LanguageModel(body, pool, context=context, rope=rope)
    engine = Engine(language, scheduler, _drafter(options, folder, slots))
    identity = Identity(digest_of(folder), dtype, options.quantize)
    prepare = partial(_prepare, options.threads, body, pool)
    return Parts(
        name, folder, context, slots, held, width, engine, profile, no_blocks, identity, prepare
    )


def _check_pool(slots: int, slot_bytes: int, device: torch.device) -> None:
    need, there = slots * slot_bytes, total_bytes(device)
    if need > there:
        raise BackendError(
            f"a pool of {slots} tokens takes {need / 1e9:.1f} GB, and the memory of this {device} "
            f"is {there / 1e9:.1f} GB.",
            hint="Open it with a smaller pool_tokens or pool_bytes.",
        )


def _drafter(options: RadixOptions, folder: Path, slots: int) -> Drafter | None:
    if options.draft == "off":
        return None
    policy = DraftPolicy(fixed=None if options.draft == "auto" else int(options.draft))
    if options.draft_model is None:
        return Drafter(policy)
    small = replace(
        options, draft="off", draft_model=None, pool_tokens=slots, pool_bytes=None, host_bytes=0,
        name=None,
    )
    parts = assemble(options.draft_model, small)
    names = [HFTokenizer.load(one).name for one in (folder, parts.folder)]
    if names[0] != names[1]:
        raise ModelLoadError(
            f"draft_model={options.draft_model!r} has another tokenizer than the model: "
            f"{names[1]}, not {names[0]}.",
            hint="Drafts are token ids: both models must mean the same by them.",
        )
    return Drafter(policy, DraftModel(parts.engine))


def host_tier(pool: KVPool, slots: int) -> HostTier:
    """So many slots in host memory for what is evicted from a pool; pinned where a GPU copies."""
    host = KVPool(slots, torch.device("cpu"), pinned=pool.device.type == "cuda")
    return HostTier(
        slots,
        out=lambda these, those: pool.copy_to(host, these, those),
        back=lambda these, those: host.copy_to(pool, these, those),
    )


def _rope(model: Any, body: Body, context: int, device: torch.device) -> tuple[Rope | None, str]:
    try:
        return find_rope(model, body, context=context, device=device), ""
    except CapabilityError as error:
        return None, error.what


def _best(
    model: Any, plain: Body, test: SelfTest, options: RadixOptions, context: int,
    device: torch.device,
) -> Body:  # fmt: skip
    """The fastest body for a model and these options, tested."""
    quantize = options.quantize
    if options.fused and can_fuse(model):
        body = best_body(model, context=context, native=options.native, quantize=quantize)
        test.run(body, within=None if quantize == "none" else _INT8_ERROR)
        return body
    if quantize != "none":
        quantize_modules(model, head=quantize == "int8")
        test.run(plain, within=_INT8_ERROR)
    return plain


def best_body(
    model: Any, *, context: int, native: bool, fused: bool = True, quantize: str = "none"
) -> Body:
    """The fastest body for a model, not tested."""
    if not fused or not can_fuse(model):
        return HFBody(model)
    compiled = native and can_run(model) and try_library() is not None
    made = NativeBody if compiled else FusedBody
    body: Body = made(model, context=context, quantize=quantize)
    return body


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _prepare(threads: int | None, body: Body, pool: KVPool) -> None:
    _set_threads(threads)
    if isinstance(body, NativeBody):
        body.lay_out(pool)


def _first_guess(model: Any, held: int, profile: Profile) -> Profile:
    """Seconds from the number of parameters and their bytes, until they are measured."""
    numbers = sum(p.numel() for p in model.parameters())
    read = held / _BYTES
    prefill = 2 * numbers / _FLOPS
    steps = tuple((batch, max(read, prefill * batch)) for batch in (1, 16))
    return profile.with_measured(prefill_s=prefill, decode_s=steps)
