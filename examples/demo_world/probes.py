"""Probes: linear readings of the stream while training, thrown away afterwards.

They ask tokens for what the answers need in the middle of the model: a token of a passage for the
label of its passage; a token of an answer, behind the town's name, for the passage that it is
about; a token before a sign of a comparison for that sign. The weights start with circuits for all
three (`start`). A loss on the answers alone has no use for them before values are copied well, and
by then they were gone. And tokens are asked for aspects: in a passage for the one just told, in an
answer for all that its passage tells, which is what absent facts and outlines hang on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from examples.demo_world.batches import Batch
from examples.demo_world.start import Space

WEIGHT = 0.2  # of their losses, beside that of the answers
SHARP = 2.0  # what the readings of `place` and `asked` start with
PLACE, ASKED = (1, 3), (2, 3)  # behind which layers they read
TOLD, KNOWN = (1, 3), (2, 4)


class Probes(nn.Module):
    """A matrix for each reading, [10, width] for labels and aspects, [3, width] for signs; at first
    they read the subspaces that the circuits write. `signs`: the token ids of "<", "=", ">"."""

    def __init__(self, space: Space, signs: list[int]) -> None:
        super().__init__()
        gap = space.gap * torch.tensor([-8.0, 0.0, 8.0])
        middle = space.shared * torch.tensor([0.0, 0.8, 0.0])
        self.sign = nn.Parameter((gap + middle).T.clone())
        self.register_buffer("signs", torch.tensor(signs))
        self.place = nn.ParameterList(SHARP * space.place.T.clone() for _ in PLACE)
        self.asked = nn.ParameterList(SHARP * space.asked.T.clone() for _ in ASKED)
        self.told = nn.ParameterList(SHARP * space.told.T.clone() for _ in TOLD)
        self.known = nn.ParameterList(SHARP * space.known.T.clone() for _ in KNOWN)

    @staticmethod
    def read(matrix: torch.Tensor, x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Loss of one reading of the stream x [tokens, width]."""
        return F.cross_entropy(F.linear(F.rms_norm(x, x.shape[-1:]), matrix), wanted)

    @staticmethod
    def read_all(matrix: torch.Tensor, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """Loss of reading sets of aspects, given as bits [tokens]."""
        bits = (told[:, None] >> torch.arange(len(matrix), device=told.device)) & 1
        logits = F.linear(F.rms_norm(x, x.shape[-1:]), matrix)
        return F.binary_cross_entropy_with_logits(logits, bits.float())

    def forward(self, taps: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """Sum of the readings' mean losses, weighed; 0 where a batch has nothing to read. `taps`:
        the stream behind each layer."""
        cut = batch.shape.scenes * batch.shape.prefix
        known = batch.label > 0
        total = torch.zeros((), device=known.device)
        for matrices, depths, part in (
            (self.place, PLACE, slice(None, cut)),
            (self.asked, ASKED, slice(cut, None)),
        ):
            where, label = known[part], batch.label[part]
            if not where.any():
                continue
            for matrix, depth in zip(matrices, depths, strict=True):
                total = total + self.read(matrix, taps[depth][part][where], label[where])
        for matrices, depths, part in (
            (self.told, TOLD, slice(None, cut)),
            (self.known, KNOWN, slice(cut, None)),
        ):
            where, told = batch.told[part] > 0, batch.told[part]
            if not where.any():
                continue
            for matrix, depth in zip(matrices, depths, strict=True):
                total = total + self.read_all(matrix, taps[depth][part][where], told[where])
        where, sign = (batch.target[:, None] == self.signs).nonzero(as_tuple=True)
        if len(where):
            total = total + self.read(self.sign, taps[0][where], sign)
        return WEIGHT * total
