"""The device that a model runs on, refused before anything is loaded where it is not there."""

from __future__ import annotations

import math
import os
import platform

import torch

from ramify.backend.radix.options import free_host_bytes
from ramify.errors import BackendError

_KINDS = ("cpu", "cuda", "mps", "xpu")
HOST = torch.device("cpu")  # for what must come out the same beside any device


def open_device(name: str) -> torch.device:
    """The device of this name ("cpu", "cuda", "cuda:1", ...).

    Raises BackendError for a name that means nothing here, or a device that this torch or this
    machine does not have.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(
            f"device={name!r} is no device.", hint=f"Choose one of {', '.join(_KINDS)}."
        ) from error
    if device.type not in _KINDS:
        raise BackendError(
            f"device={name!r} cannot run a model.", hint=f"Choose one of {', '.join(_KINDS)}."
        )
    if device.type == "cpu":
        return device
    module = getattr(torch, device.type)
    if not module.is_available():
        built = device.type != "cuda" or torch.version.cuda or torch.version.hip
        what = "finds none on this machine" if built else "was built without CUDA"
        raise BackendError(
            f"device={name!r} is not available: torch {torch.__version__} {what}.",
            hint="Use device='cpu', or install the build of torch that fits the machine.",
        )
    if device.index is not None and device.index >= module.device_count():
        raise BackendError(
            f"device={name!r} is not available: there are {module.device_count()} of its kind.",
            hint="They are counted from 0.",
        )
    return device


def free_bytes(device: torch.device) -> int:
    """Memory that is free for a pool, which takes a quarter of it by default."""
    if device.type == "cuda":
        return 3 * int(torch.cuda.mem_get_info(device)[0])  # a GPU is for this: three quarters
    return free_host_bytes()


def total_bytes(device: torch.device) -> float:
    """All memory of a device: no pool can be larger. Infinity where it cannot be told."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    names = os.sysconf_names if hasattr(os, "sysconf") else {}
    if device.type != "cpu" or "SC_PHYS_PAGES" not in names:
        return math.inf
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def model_of(device: torch.device) -> tuple[object, ...]:
    """What tells this processor or GPU from another one that may be slower or faster."""
    if device.type == "cuda":
        return (torch.cuda.get_device_name(device),)
    half = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return (os.cpu_count(), torch.backends.cpu.get_cpu_capability(), platform.processor(), half)
