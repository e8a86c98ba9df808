"""A gist head as a file: `gist/head.safetensors` in the folder of the model that it belongs to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ramify.backend.radix.gist.resampler import Resampler, Shape
from ramify.backend.radix.saved import digest_of
from ramify.errors import ModelLoadError

VERSION = "1"
PLACE = Path("gist", "head.safetensors")  # in a folder of its own: loaders take all beside config
_TRAIN = "Train one for this model (docs/gist.md says how)."


@dataclass(frozen=True)
class Facts:
    """What a head says of itself. `ratios`: tokens per vector that it was trained for, rising;
    `auto` is the one that rate="auto" takes. `window`: tokens that are read together, at most.
    `note` is for people: what was measured."""

    model: str  # digest of the folder of the one model that it belongs to
    ratios: tuple[float, ...]
    auto: float
    window: int
    note: str = ""
    version: str = field(default=VERSION)


def save_head(path: Path, resampler: Resampler, facts: Facts) -> None:
    """Write a head, in bfloat16, replacing what is there only when it is whole."""
    from safetensors.torch import save_file

    if facts.auto not in facts.ratios or list(facts.ratios) != sorted(set(facts.ratios)):
        raise ValueError(f"ratios {facts.ratios} must rise, and auto={facts.auto} be one of them.")
    tensors = {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in resampler.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    said = {"facts": json.dumps(asdict(facts)), "shape": json.dumps(asdict(resampler.shape))}
    save_file(tensors, partial, metadata=said)
    partial.chmod(0o644)
    partial.replace(path)


def load_head(path: Path, folder: Path) -> tuple[Resampler, Facts]:
    """The head in a file, for the model in a folder, in float32.

    Raises ModelLoadError where there is none, where it is not whole or of another format, and
    where it was trained for another model.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelLoadError(f"there is no gist head {str(path)!r}.", hint=_TRAIN)
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(
            f"{str(path)!r} is not a whole safetensors file: {str(error).splitlines()[0]}",
            hint="Copy or train it again.",
        ) from error
    facts = _facts(path, said)
    if facts.model != (here := digest_of(folder)):
        raise ModelLoadError(
            f"the gist head {str(path)!r} was trained for model {facts.model}, and "
            f"{str(folder)!r} is {here}.",
            hint=_TRAIN,
        )
    return _resampler(path, said, tensors), facts


def _facts(path: Path, said: dict[str, str]) -> Facts:
    try:
        found = json.loads(said["facts"])
        if found["version"] != VERSION:
            raise ModelLoadError(
                f"the gist head {str(path)!r} is of format {found['version']}, and this is "
                f"{VERSION}.",
                hint="Train it again, or use the version of Ramify that wrote it.",
            )
        return Facts(**{**found, "ratios": tuple(found["ratios"])})
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelLoadError(
            f"{str(path)!r} is no gist head: it does not say what it is ({error}).", hint=_TRAIN
        ) from error


def _resampler(path: Path, said: dict[str, str], tensors: dict[str, Any]) -> Resampler:
    try:
        shape = json.loads(said["shape"])
        resampler = Resampler(Shape(**{**shape, "taps": tuple(shape["taps"])}))
        resampler.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ModelLoadError(
            f"the gist head {str(path)!r} is broken: {str(error).splitlines()[0]}",
            hint="Copy or train it again.",
        ) from error
    return resampler.eval().requires_grad_(False)
