"""Vectors: equal where their numbers are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from ramify.errors import ProgramError
from ramify.ir import Vectors

ROWS = np.arange(12, dtype=np.float64).reshape(3, 4) / 7


def test_numpy_torch_and_lists_are_the_same_vectors() -> None:
    import torch

    ours = Vectors.of(ROWS)
    assert (ours.count, ours.width, len(ours)) == (3, 4, 3)
    assert (ours.array() == ROWS.astype(np.float32)).all()
    others: list[Any] = [
        ROWS.tolist(), ROWS.astype(np.float32), ROWS[::-1][::-1], torch.from_numpy(ROWS), ours,
        torch.from_numpy(ROWS).float().requires_grad_(),
    ]  # fmt: skip
    for other in others:
        assert Vectors.of(other) == ours and hash(Vectors.of(other)) == hash(ours)
    half = Vectors.of(torch.from_numpy(ROWS).bfloat16())
    assert half != ours
    assert (half.array() == torch.from_numpy(ROWS).bfloat16().float().numpy()).all()


def test_other_numbers_and_other_shapes_are_other_vectors() -> None:
    ours = Vectors.of(ROWS)
    changed = ROWS.copy()
    changed[2, 3] += 1e-6
    assert Vectors.of(changed) != ours
    assert Vectors.of(ROWS.reshape(4, 3)) != ours
    assert Vectors.of(ROWS[:2]) != ours


def test_they_stay_as_they_were() -> None:
    rows = ROWS.astype(np.float32)
    ours = Vectors.of(rows)
    rows[0, 0] = 9
    assert ours.array()[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        ours.array()[0, 0] = 9


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (np.zeros(4), r"shape \[4\]"),
        (np.zeros((0, 4)), r"shape \[0, 4\]"),
        (np.zeros((1, 2, 3)), r"shape \[1, 2, 3\]"),
        ([[0.0, float("nan")]], "finite"),
        ([[1e300, 0.0]], "finite"),
        ([["a", "b"]], "no vectors"),
        ([[1.0], [1.0, 2.0]], "no vectors"),
        (None, "no vectors|shape"),
    ],
)
def test_what_is_no_vectors_is_refused(wrong: Any, what: str) -> None:
    with pytest.raises(ProgramError, match=what):
        Vectors.of(wrong)


def test_the_graph_does_not_load_numpy() -> None:
    code = "import sys, ramify.ir; assert not {'numpy', 'torch'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
