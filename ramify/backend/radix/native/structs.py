"""The C structures of body.cpp, field by field."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int64, c_void_p


class Shape(ctypes.Structure):
    """The sizes of a model."""

    _fields_ = (
        *((name, c_int64) for name in (
            "layers", "hidden", "heads", "kv_heads", "size", "inner", "vocab", "bf16",
            "int8",
        )),
        ("eps", c_double),
        ("scale", c_double),
    )  # fmt: skip


class Weights(ctypes.Structure):
    """Of one layer; None where there is none."""

    _fields_ = (
        *((name, c_void_p) for name in (
            "before", "qkv", "qkv_bias", "query_norm", "key_norm", "out", "out_bias", "after",
            "gate_up", "down",
        )),
        ("window", c_int64),
    )  # fmt: skip


class Rest(ctypes.Structure):
    """Weights outside the layers, and the tables of rope."""

    _fields_ = (
        *((name, c_void_p) for name in ("embed", "norm", "head", "cos", "sin")),
        ("unscaled", c_double),
    )


class Problems(ctypes.Structure):
    """See `plan.Plan`."""

    _fields_ = (
        ("count", c_int64),
        *((name, c_void_p) for name in (
            "row_from", "rows", "row_at", "key_from", "keys", "key_at", "shift", "own",
        )),
    )  # fmt: skip


class StepIn(ctypes.Structure):
    """One step: see `Body.logits`."""

    _fields_ = (
        *((name, c_int64) for name in ("rows", "wanted", "threads")),
        *((name, c_void_p) for name in ("tokens", "positions", "slots", "wanted_rows")),
        ("keys", POINTER(c_void_p)),
        ("values", POINTER(c_void_p)),
        ("problems", Problems),
        ("hidden", c_void_p),
        ("logits", c_void_p),
        ("best", c_void_p),
        ("best_logits", c_void_p),
    )
