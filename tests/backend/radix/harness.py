"""An engine without its thread, and the plain model beside it, for tests."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch

from ramify.backend.contract import Delta, Request, Scores, TokenPrompt, Usage
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.draft import Drafter
from ramify.backend.radix.draft_cost import DraftPolicy
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.fused import FusedBody
from ramify.backend.radix.hf_body import ATTENTION, HFBody, register_attention
from ramify.backend.radix.jobs import Generation
from ramify.backend.radix.loading import load_model
from ramify.backend.radix.model import Body, LanguageModel
from ramify.backend.radix.native.body import NativeBody
from ramify.backend.radix.native.build import NoLibraryError, library
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.scheduler import Scheduler
from ramify.backend.radix.setup import host_tier
from ramify.backend.radix.vectors import VectorKeys
from ramify.backend.stream import TextStream
from ramify.ir.sampling import Sampling
from tests.backend.radix.models import tiny

CPU = torch.device("cpu")
keyed = VectorKeys().keyed


class NoText:
    """A tokenizer whose tokens have no text."""

    name, vocab_size, start_ids = "none", 0, ()
    end_ids: frozenset[int] = frozenset()

    def bytes_of(self, token: int) -> bytes:
        return b""


@dataclass
class Sunk:
    """What a job has given out."""

    items: list[Any] = field(default_factory=list)

    def __call__(self, item: Delta | Scores | Usage | BaseException) -> None:
        self.items.append(item)

    @property
    def error(self) -> BaseException | None:
        return next((i for i in self.items if isinstance(i, BaseException)), None)

    @property
    def ids(self) -> list[int]:
        return [i for item in self.items for i in item.ids]

    @property
    def done(self) -> bool:
        return bool(self.items) and getattr(self.items[-1], "finish", "x") is not None


def load(family: str) -> Any:
    """The model of a family with our attention."""
    register_attention()
    return load_model(
        tiny(family), device="cpu", dtype="float32", remote_code=False, attention=ATTENTION
    )[0]


Fused = bool | Literal["native"]


@functools.cache
def body(family: str, *, fused: Fused = False) -> Body:
    """A body for the model of a family; "native" skips the test where nothing can be compiled."""
    if fused == "native":
        need_compiler()
        return NativeBody(load(family), context=512)
    model = load(family)
    return FusedBody(model, context=512) if fused else HFBody(model)


def need_compiler() -> None:
    """Skip the test where there is no compiled library."""
    try:
        library()
    except NoLibraryError as error:
        pytest.skip(f"no compiled kernels here: {error}")


@functools.cache
def plain(family: str) -> Any:
    """The model of a family as transformers runs it."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny(family), attn_implementation="eager")
    return model.eval()


def engine_for(
    family: str,
    slots: int = 2000,
    *,
    cache: bool = True,
    host: int = 0,
    pays: int = 16,
    fused: Fused = False,
    draft: int = 0,
    **options: Any,
) -> Engine:
    """An engine over a family's tiny model; `pays` is small so that sharing is exercised. `draft`:
    so many tokens are guessed wherever something speaks for them; `host`: slots of a host tier."""
    pool, kept = KVPool(slots, CPU), Cache(slots, shared=cache)
    if host:
        kept.attach(host_tier(pool, host))
    scheduler = Scheduler(kept, **options)
    model = LanguageModel(body(family, fused=fused), pool, context=512, pays=pays)
    return Engine(model, scheduler, Drafter(DraftPolicy(fixed=draft)) if draft else None)


def generation(ids: Iterable[int], n: int, *, room: int = 10_000, **options: Any) -> Generation:
    """A job whose sink is a `Sunk`; greedy and without an end unless options say more."""
    names = ("priority", "salt", "label", "fork", "bans", "promise")
    extra = {name: options.pop(name) for name in names if name in options}
    prompt = keyed(TokenPrompt(tuple(ids), options.pop("blocks", ()), options.pop("vectors", ())))
    sampling = Sampling(max_tokens=n, **{"ignore_end": True, **options})
    request = Request(prompt=prompt, sampling=sampling, **extra)
    return Generation(
        request, Sunk(), TextStream(NoText()), room=room, seed=sampling.seed or 0,
        end_ids=frozenset({2}),
    )  # fmt: skip


def run(engine: Engine, *, check: bool = False, limit: int = 5000) -> None:
    """Run an engine until it has nothing to do."""
    for _ in range(limit):
        if not engine.busy:
            return
        engine.step()
        if check:
            engine.check()
    raise AssertionError("the engine does not come to an end")


_greedy: dict[tuple[str, tuple[int, ...]], list[int]] = {}


def greedy(family: str, ids: Iterable[int], n: int) -> list[int]:
    """What transformers' `generate` answers."""
    key = (family, tuple(ids))
    if len(_greedy.get(key, ())) < n:
        with torch.inference_mode():
            out = plain(family).generate(
                torch.tensor([key[1]]), attention_mask=torch.ones(1, len(key[1])).long(),
                max_new_tokens=n, do_sample=False, eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
        _greedy[key] = out[0, len(key[1]) :].tolist()
    return _greedy[key][:n]
