"""Reading keys at another position than they were computed at: the query is rotated, not the keys.

Rotary embeddings (RoFormer, arXiv:2104.09864) turn pairs of a head's dimensions by an angle that
grows with the position, so a score depends on the distance of query and key only. A key that
stands `shift` positions behind the place where it was computed is met by the query turned back by
`shift`: one rotation per row instead of one per key, in float32, and the cache is never rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a layer turns its queries. `frequencies` [n] are radians per position; the first 2n
    dimensions of a head turn, in pairs (i, i + n), or (2i, 2i + 1) where `interleaved`."""

    frequencies: Tensor
    interleaved: bool = False

    def table(self, shifts: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine [E, 1, size] that turn E rows back by their shifts."""
        # in double precision, on the host: not every device has it, and the table is small
        at, by = shifts.cpu().double(), self.frequencies.cpu().double()
        angles = -at[:, None] * by  # [E, n]
        cos, sin = angles.cos(), angles.sin()
        if self.interleaved:
            cos, sin = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
        else:
            cos, sin = cos.repeat(1, 2), torch.cat((-sin, sin), -1)
        rest = size - cos.shape[-1]
        cos = torch.nn.functional.pad(cos, (0, rest), value=1.0)
        sin = torch.nn.functional.pad(sin, (0, rest))
        return cos[:, None].float().to(shifts.device), sin[:, None].float().to(shifts.device)

    def partners(self, x: Tensor) -> Tensor:
        """Each dimension's partner in its pair; [..., size] as x."""
        n = len(self.frequencies)
        if self.interleaved:
            pairs = x[..., : 2 * n].reshape(*x.shape[:-1], n, 2).flip(-1).flatten(-2)
            return torch.cat((pairs, x[..., 2 * n :]), -1)
        return torch.cat((x[..., n : 2 * n], x[..., :n], x[..., 2 * n :]), -1)


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotation of every layer: `layers[i]` is an index into `kinds`, or None where a layer
    knows no positions."""

    kinds: tuple[Rotation, ...]
    layers: tuple[int | None, ...]

    def turn(self, layer: int, query: Tensor, shifts: Tensor) -> Tensor:
        """query [E, Hq, D] after rope, as if each row stood `shifts` [E] positions earlier."""
        return Turns(self, torch.arange(len(query), device=query.device), shifts).of(layer, query)


@dataclass(slots=True)
class Turns:
    """Rows of a step that read keys at shifted positions; the tables are made once per step."""

    rope: Rope
    rows: Tensor  # [E] rows of the step
    shifts: Tensor  # [E]
    _tables: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def of(self, layer: int, query: Tensor) -> Tensor:
        """The rows of query [T, Hq, D] turned back by their shifts: [E, Hq, D]."""
        rows = query.index_select(0, self.rows)
        kind = self.rope.layers[layer]
        if kind is None:
            return rows
        rotation = self.rope.kinds[kind]
        if kind not in self._tables:
            self._tables[kind] = rotation.table(self.shifts, query.shape[-1])
        cos, sin = self._tables[kind]
        x = rows.float()
        return torch.addcmul(x * cos, rotation.partners(x), sin).to(query.dtype)
