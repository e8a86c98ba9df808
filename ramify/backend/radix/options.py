"""How a radix backend is opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from ramify.errors import BackendError

DTYPES = ("auto", "float32", "bfloat16")
QUANTIZE = ("none", "int8", "int8-layers")
DRAFTS = ("auto", "off")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadixOptions:
    """Options of `RadixBackend.open`; each may also be text, as in "radix:PATH?threads=2".

    `dtype="auto"` is bfloat16 where `RadixBackend.calibrate` found it faster on this machine, and
    float32 where it did not, whatever the checkpoint has; the measurement is kept in the user's
    cache (`dtypes.py`). Opening never measures: on a machine that was never calibrated, and for
    checkpoints that are quantized, it is the checkpoint's own dtype.
    """

    device: str = "cpu"
    dtype: str = "auto"  # auto: the one that `calibrate` measured faster here, see below
    quantize: str = "none"  # int8: weights of all linear layers; int8-layers: not the LM head's
    pool_tokens: int | None = None  # size of the KV pool; or
    pool_bytes: int | None = None  # in bytes; None: a quarter of the free memory
    host_bytes: int = 0  # host memory for KV that the pool evicts, which a match brings back
    max_batch: int = 64  # sequences in one step
    token_budget: int = 1024  # rows in one step: bounds how long a prefill delays decoding
    patience: int = 256  # steps after which a waiting request goes before all others
    threads: int | None = None  # None: torch's own choice
    seed: int = 0  # of requests with a temperature and no seed
    cache: bool = True  # False: nothing is shared; the naive twin, for comparison
    fused: bool = True  # False: transformers' own modules, also where we have faster ones
    native: bool = True  # False: torch's operators only, nothing that a compiler builds
    draft: str = "auto"  # tokens guessed from what was read: while it pays, "off", or so many
    draft_model: str | None = None  # a smaller model with the same tokenizer, which guesses more
    remote_code: bool = False  # run Python code from the model's folder
    name: str | None = None  # None: the folder's

    def __post_init__(self) -> None:
        for name, ok, need in (
            ("dtype", self.dtype in DTYPES, f"one of {', '.join(DTYPES)}"),
            ("quantize", self.quantize in QUANTIZE, f"one of {', '.join(QUANTIZE)}"),
            ("pool_tokens", self.pool_tokens is None or self.pool_tokens > 0, "over 0"),
            ("pool_bytes", self.pool_bytes is None or self.pool_bytes > 0, "over 0"),
            ("host_bytes", self.host_bytes >= 0, "0 or more"),
            ("host_bytes", self.cache or not self.host_bytes, "0 without a cache"),
            ("max_batch", self.max_batch > 0, "over 0"),
            ("token_budget", self.token_budget > 0, "over 0"),
            ("draft", self.draft in DRAFTS or self.draft.isdecimal(), "auto, off or a number"),
            ("draft", self.draft != "off" or self.draft_model is None, "on with a draft_model"),
            ("patience", self.patience >= 0, "0 or more"),
            ("threads", self.threads is None or self.threads > 0, "over 0"),
        ):
            if not ok:
                value = getattr(self, name)
                raise BackendError(f"{name}={value!r} is not allowed.", hint=f"It must be {need}.")

    @classmethod
    def of(cls, **options: Any) -> RadixOptions:
        """Build from keyword options; text is read as a number or a truth value where one is due.

        Raises BackendError for an unknown option or a value that cannot be read.
        """
        kinds = {field.name: str(field.type) for field in fields(cls)}
        found: dict[str, Any] = {}
        for name, value in options.items():
            if name not in kinds:
                near = get_close_matches(name, kinds, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(kinds)}."
                raise BackendError(f"the radix backend has no option {name!r}.", hint=hint)
            if name == "draft":
                value = str(value)
            found[name] = _read(name, value, kinds[name]) if isinstance(value, str) else value
        return cls(**found)


def _read(name: str, text: str, kind: str) -> Any:
    if kind.startswith("str"):
        return text
    if kind == "bool":
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        raise BackendError(f"{name}={text!r} is neither true nor false.")
    try:
        return int(text)
    except ValueError as error:
        raise BackendError(f"{name}={text!r} is not a whole number.") from error


def pool_slots(
    options: RadixOptions, *, slot_bytes: int, context: int, free_bytes: Callable[[], int]
) -> int:
    """Slots of the pool: as the options say, else what a quarter of the free memory holds, but no
    more than `max_batch` full contexts can use."""
    if options.pool_tokens is not None:
        return options.pool_tokens
    if options.pool_bytes is not None:
        return max(1, options.pool_bytes // slot_bytes)
    return max(1, min(free_bytes() // 4 // slot_bytes, options.max_batch * context))


def host_slots(options: RadixOptions, slot_bytes: int) -> int:
    """Slots of the host tier. Raises BackendError where its bytes do not hold one."""
    if options.host_bytes < slot_bytes:
        raise BackendError(
            f"host_bytes={options.host_bytes} is not enough for one token of {slot_bytes} bytes.",
            hint="Give more, or 0 for no host tier.",
        )
    return options.host_bytes // slot_bytes


def free_host_bytes() -> int:
    """Memory of this machine that is free now, where the system says; else 8 GiB."""
    names = os.sysconf_names if hasattr(os, "sysconf") else {}
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in names:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return 8 << 30
