"""`dtype="auto"` asks what was measured on this machine, and never measures itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ramify.backend.radix import dtypes
from ramify.backend.radix.options import RadixOptions
from ramify.backend.radix.setup import assemble
from ramify.errors import BackendError
from tests.backend.radix.models import tiny

CPU = torch.device("cpu")


def measured(exact: tuple[float, float], rounded: tuple[float, float]) -> dtypes.Seconds:
    """Seconds of a prompt token and of a step in float32 and in bfloat16."""
    names = ("prefill_s", "decode_s")
    return {
        "float32": dict(zip(names, exact, strict=True)),
        "bfloat16": dict(zip(names, rounded, strict=True)),
    }


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "dtypes.json"
    monkeypatch.setenv("RAMIFY_CALIBRATION", str(path))

    def never(*_: object, **__: object) -> dtypes.Seconds:
        raise AssertionError("it was measured")

    monkeypatch.setattr(dtypes, "measure", never)
    return path


def opened(**options: str) -> str:
    wanted = RadixOptions.of(threads=1, pool_tokens=100, draft="off", **options)
    return assemble(tiny("llama"), wanted).identity.dtype


def test_what_was_measured_faster_is_taken_and_a_named_dtype_wins(file: Path) -> None:
    assert opened() == "torch.float32"  # as the checkpoint has it: nothing was measured
    dtypes.keep(CPU, measured((2.0, 2.0), (1.0, 1.0)))
    assert dtypes.faster(CPU) == "bfloat16"
    assert opened() == "torch.bfloat16"
    assert opened(dtype="float32") == "torch.float32"
    dtypes.keep(CPU, measured((1.0, 1.0), (2.0, 2.0)))
    assert opened() == "torch.float32"


def test_bfloat16_must_be_faster_in_all(file: Path) -> None:
    assert dtypes.better(measured((2.0, 2.0), (1.0, 2.1))) == "float32"
    assert dtypes.better(measured((2.0, 2.0), (1.9, 1.9))) == "bfloat16"


def test_another_machine_and_other_threads_are_not_known(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes.keep(CPU, measured((2.0, 2.0), (1.0, 1.0)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert dtypes.faster(CPU) is None
    dtypes.keep(CPU, measured((1.0, 1.0), (2.0, 2.0)))
    assert len(json.loads(file.read_text())) == 2  # beside each other


def test_a_damaged_file_is_named_and_one_that_cannot_be_written_is_said(file: Path) -> None:
    file.parent.mkdir()
    for text in ("{", "[]", json.dumps({dtypes.machine(CPU): {"float32": {}}})):
        file.write_text(text)
        with pytest.raises(BackendError, match=r"dtypes.json.* cannot be read"):
            dtypes.faster(CPU)
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        dtypes.keep(CPU, measured((1.0, 1.0), (1.0, 1.0)))


def test_it_is_measured_once_per_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAMIFY_CALIBRATION", str(tmp_path / "dtypes.json"))
    small = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64, "vocab_size": 64}
    monkeypatch.setattr(dtypes, "_SHAPE", {**dtypes._SHAPE, **small, "num_attention_heads": 2,
                                           "num_key_value_heads": 2})  # fmt: skip
    dtypes.calibrate(CPU)
    (found,) = json.loads((tmp_path / "dtypes.json").read_text()).values()
    assert all(0 < found[name][what] < 5 for name in dtypes.CANDIDATES
               for what in ("prefill_s", "decode_s"))  # fmt: skip
    monkeypatch.delattr(dtypes, "measure")
    dtypes.calibrate(CPU)
