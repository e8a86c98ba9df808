"""The trained part of a gist head: from what a frozen model saw in a segment to a few vectors.

Learned queries read the hidden states of the segment's tokens (a resampler, as in Perceiver, Jaegle
et al. 2021, and Flamingo, Alayrac et al. 2022). What they become are input embeddings of the same
frozen model, as in ICAE (Ge et al. 2023). Two paths lead there: a linear map of the query's own
state, and pointers, each of which copies the embeddings of the tokens that it attends to through a
matrix of its own. Pointers prefer tokens at their vector's place in the segment; the first matrix
starts as the identity, all else that writes as zero. So before any training a vector is a mean of
the embeddings around its place, and with a vector for each token nearly the text itself: training
begins with what the model can read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_POINTER = 48  # width of a pointer's queries and keys
_SHARP = 2.0  # how much a pointer prefers its place, at first: by squared distance in vectors


@dataclass(frozen=True)
class Shape:
    """Sizes of a resampler. `taps`: which hidden states of the model it reads, 0 being the
    embeddings, i what layer i gives."""

    width: int  # of the model's embeddings
    taps: tuple[int, ...]
    inner: int = 192
    heads: int = 6
    blocks: int = 2
    pointers: int = 4
    slots: int = 24  # vectors of one segment, at most
    reach: int = 48  # tokens of one segment, at most


class Block(nn.Module):
    """Queries read the tokens, then each other, then think."""

    def __init__(self, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(inner, inner, bias=False)
        self.tell = nn.Linear(inner, 2 * inner, bias=False)
        self.heard = nn.Linear(inner, inner, bias=False)
        self.own = nn.Linear(inner, 3 * inner, bias=False)
        self.met = nn.Linear(inner, inner, bias=False)
        self.up = nn.Linear(inner, 2 * inner, bias=False)
        self.down = nn.Linear(2 * inner, inner, bias=False)
        for last in (self.heard, self.met, self.down):
            nn.init.zeros_(last.weight)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _read(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        out = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), attn_mask=seen[:, None, None]
        )
        return out.transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, tokens: Tensor, real: Tensor, asked: Tensor) -> Tensor:
        """x [S, K, inner], tokens [S, T, inner]; which are there: real [S, T], asked [S, K]."""
        key, value = self.tell(tokens).chunk(2, -1)
        x = x + self.heard(self._read(self.ask(_unit(x)), key, value, real))
        query, key, value = self.own(_unit(x)).chunk(3, -1)
        x = x + self.met(self._read(query, key, value, asked))
        out: Tensor = x + self.down(F.silu(self.up(_unit(x))))
        return out


class Resampler(nn.Module):
    """Segments of tokens to vectors."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, pointers = shape.inner, shape.pointers
        self.take = nn.Linear(len(shape.taps) * shape.width, inner, bias=False)
        self.from_start = nn.Embedding(shape.reach, inner)  # of a token in its segment
        self.from_end = nn.Embedding(shape.reach, inner)
        self.query_start = nn.Embedding(shape.slots, inner)  # of a vector among its segment's
        self.query_end = nn.Embedding(shape.slots, inner)
        self.blocks = nn.ModuleList(Block(inner, shape.heads) for _ in range(shape.blocks))
        self.point = nn.Linear(inner, pointers * _POINTER, bias=False)
        self.pointed = nn.Linear(inner, pointers * _POINTER, bias=False)
        self.sharp = nn.Parameter(self.take.weight.new_full((pointers,), _SHARP))
        copies = [nn.Linear(shape.width, shape.width, bias=False) for _ in range(pointers)]
        self.copies = nn.ModuleList(copies)
        self.say = nn.Linear(inner, shape.width, bias=False)
        for last in (self.say, *copies):
            nn.init.zeros_(last.weight)
        nn.init.eye_(copies[0].weight)
        for place in (self.from_start, self.from_end, self.query_start, self.query_end):
            nn.init.normal_(place.weight, std=0.5)

    def forward(self, states: Tensor, embedded: Tensor, sizes: Tensor, counts: Tensor) -> Tensor:
        """The vectors of all segments one after the other, [sum(counts), width].

        states [S, T, taps * width], each tap of unit root mean square; embedded [S, T, width];
        sizes [S]: tokens of each segment; counts [S]: vectors of each.
        """
        x, scores = self.read(states, sizes, counts)
        found: Tensor = self.say(x)
        for copy, pointed in zip(self.copies, scores.softmax(-1).unbind(1), strict=True):
            found = found + copy(pointed @ embedded)
        return found[torch.arange(x.shape[1], device=x.device) < counts[:, None]]

    def read(self, states: Tensor, sizes: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """The state of each vector's query, [S, K, inner], and where its pointers point: scores
        [S, pointers, K, T], before the softmax."""
        at = torch.arange(states.shape[1], device=states.device)
        slot = torch.arange(int(counts.max()), device=states.device)
        real, asked = at < sizes[:, None], slot < counts[:, None]
        left = (sizes[:, None] - 1 - at).clamp(min=0)
        tokens = _unit(self.take(states) + self.from_start(at) + self.from_end(left))
        left = (counts[:, None] - 1 - slot).clamp(min=0)
        x = self.query_start(slot) + self.query_end(left)
        for block in self.blocks:
            x = block(x, tokens, real, asked)
        x = _unit(x)
        near = ((at[None] + 0.5) * (counts / sizes)[:, None])[:, None] - (slot[:, None] + 0.5)
        return x, self._pointers(x, tokens, real, near)

    def _pointers(self, x: Tensor, tokens: Tensor, real: Tensor, near: Tensor) -> Tensor:
        """Scores of each pointer of each vector. `near` [S, K, T]: how far a token is from the
        vector's place, in vectors."""
        cut = (self.shape.pointers, _POINTER)
        ask = self.point(x).unflatten(-1, cut).transpose(1, 2)
        key = self.pointed(tokens).unflatten(-1, cut).permute(0, 2, 3, 1)
        scores: Tensor = ask @ key / _POINTER**0.5 - self.sharp[:, None, None] * near[:, None] ** 2
        return scores.masked_fill(~real[:, None, None], float("-inf"))


def _unit(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])
