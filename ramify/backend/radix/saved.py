"""Saved prefixes: the KV of a prompt in one safetensors file, read again by a later process.

The file names the model, the types and the format that it was made with; whoever reads it must
have the same ones, because KV of another model is silently wrong.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ramify.backend.radix.engine import Engine
from ramify.backend.radix.slots import IntArray
from ramify.errors import BackendError

VERSION = "1"
_PAGE = 4096  # bytes
Layers = list[tuple[Tensor, Tensor]]  # keys and values [tokens, heads, size] of each layer


@dataclass(frozen=True, slots=True)
class Identity:
    """What a saved prefix and the engine that reads it must have in common."""

    model: str  # digest of config and weights, see `digest_of`
    dtype: str  # of the computation
    quantize: str  # of the weights
    version: str = VERSION  # of the file's format


def digest_of(folder: Path) -> str:
    """A digest of a model: its config, and of each weights file the size, the header and a page
    in each 64th part. Cheap for large files, and different for different weights."""
    digest = blake2b(digest_size=16)
    digest.update((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors*")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size};".encode())
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little") if path.suffix != ".json" else size
            file.seek(0)
            digest.update(file.read(min(header + 8, size)))
            for part in range(64):
                file.seek(size * part // 64)
                digest.update(file.read(_PAGE))
    return digest.hexdigest()


def kept(engine: Engine, salt: str, tokens: IntArray) -> Layers | None:
    """The KV of tokens, where all of it is in the engine's tree."""
    slots = engine.scheduler.cache.kept(salt, tokens)
    return None if slots is None else engine.model.pool.read(slots)


def adopt(engine: Engine, salt: str, tokens: IntArray, layers: Layers) -> bool:
    """Put tokens with their KV into the engine's tree; see `Cache.adopt`."""

    def fill(slots: IntArray, start: int) -> None:
        engine.model.pool.fill(slots, [(key[start:], value[start:]) for key, value in layers])

    return engine.scheduler.cache.adopt(salt, tokens, fill)


def write(path: Path, tokens: IntArray, layers: Layers, identity: Identity) -> None:
    """Write a prefix; a file of the same name is replaced as a whole or not at all.

    Raises BackendError where it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {"tokens": torch.from_numpy(tokens)}
    for i, (keys, values) in enumerate(layers):
        tensors[f"keys.{i}"], tensors[f"values.{i}"] = keys.contiguous(), values.contiguous()
    about = {"format": "ramify saved prefix", **asdict(identity)}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata=about)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise BackendError(f"the prefix cannot be written to {str(path)!r}: {error}") from error


def read(path: Path, identity: Identity) -> tuple[IntArray, Layers]:
    """The tokens of a saved prefix and their KV.

    Raises BackendError for a file that is not whole, is no saved prefix, or was made with another
    model, dtype, quantization or format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            _check(path, about, identity)
            tokens = file.get_tensor("tokens").numpy()
            count = (len(file.keys()) - 1) // 2
            layers = [
                (file.get_tensor(f"keys.{i}"), file.get_tensor(f"values.{i}")) for i in range(count)
            ]
    except (OSError, SafetensorError) as error:
        raise BackendError(
            f"{str(path)!r} is not a whole saved prefix: {str(error).splitlines()[0]}",
            hint="Save it again.",
        ) from error
    if tokens.dtype != np.int64 or any(len(t) != len(tokens) for pair in layers for t in pair):
        raise BackendError(f"{str(path)!r} is damaged: its tensors do not fit each other.")
    return tokens, layers


def _check(path: Path, about: dict[str, str], identity: Identity) -> None:
    if about.get("format") != "ramify saved prefix":
        raise BackendError(f"{str(path)!r} is a safetensors file, but not a saved prefix.")
    for field in fields(Identity):
        saved, ours = about.get(field.name), getattr(identity, field.name)
        if saved != ours:
            raise BackendError(
                f"{str(path)!r} was saved with {field.name} {saved!r}, and this engine has "
                f"{ours!r}: its KV would be wrong here.",
                hint="Save it again with this engine.",
            )
