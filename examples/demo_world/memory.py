"""Scenes whose passages are vectors: what a step of training a gist head reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from examples.demo_world.batches import Batch, Document, collate, encode
from examples.demo_world.lean import Lean, Shape
from examples.demo_world.stages import Kind
from examples.demo_world.tasks import MAKERS, VALUE_LOSS, Scene
from examples.demo_world.tokenizer import PAD, VOCAB, Encoder
from examples.demo_world.town import Split
from ramify.backend.radix.gist.encoder import cut, hidden_states
from ramify.backend.radix.gist.resampler import Resampler
from ramify.backend.radix.gist.shares import share
from ramify.compressors.segments import segments

Encoded = tuple[Document, list[Document]]


@dataclass(frozen=True)
class Memories:
    """Passages to be read by the encoder, and the scenes that read their vectors.

    `parts`: the segments of each passage, in tokens; `counts`: their vectors. In `batch` vector i
    is token VOCAB + i. `values`: for each passage, what is asked of its scene, in tokens.
    """

    parts: list[list[list[int]]]
    counts: list[int]
    batch: Batch
    values: list[list[list[int]]]

    @property
    def ratio(self) -> float:
        """Tokens per vector."""
        return sum(len(part) for own in self.parts for part in own) / sum(self.counts)

    def vectors(self, model: LlamaForCausalLM, resampler: Resampler) -> Tensor:
        """The vectors of all passages, [sum(counts), width], with gradients for the resampler."""
        states, embedded, sizes, counts = self.read(model, resampler)
        found: Tensor = resampler(states, embedded, sizes, counts)
        return found

    @torch.no_grad()
    def read(
        self, model: LlamaForCausalLM, resampler: Resampler
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a resampler reads: states, embeddings, sizes and counts of all segments."""
        rows = [[token for part in own for token in part] for own in self.parts]
        wide = max(map(len, rows))
        ids = torch.tensor([row + [0] * (wide - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (wide - len(row)) for row in rows])
        sizes = [[len(part) for part in own] for own in self.parts]
        states = hidden_states(model, ids, mask, resampler.shape.taps)
        embedded = model.get_input_embeddings()(ids)
        flat = torch.tensor([size for own in sizes for size in own])
        return cut(states, sizes), cut(embedded, sizes), flat, torch.tensor(self.counts)


def with_vectors(model: LlamaForCausalLM, vectors: Tensor) -> Lean:
    """The model with more tokens behind its vocabulary, whose embeddings are the vectors."""
    inner = model.model
    table = SimpleNamespace(weight=torch.cat([inner.embed_tokens.weight, vectors]))
    body = SimpleNamespace(layers=inner.layers, norm=inner.norm, embed_tokens=table)
    longer: Any = SimpleNamespace(config=model.config, model=body, lm_head=model.lm_head)
    return Lean(longer)


def passages(scene: Scene) -> list[str]:
    """The texts of a scene's passages, without their labels, in order."""
    pieces = [piece for message in scene.messages for piece in message.pieces]
    texts: dict[int, str] = {}
    for piece in (*pieces, *(scene.open or ())):
        if piece.label:
            texts[piece.label] = texts.get(piece.label, "") + piece.text
    return list(texts.values())


def shorter(prefix: Document, counts: Sequence[int], first: int) -> Document:
    """A prefix with so many vectors in the place of each passage, numbered from `first` on."""
    made, waiting, before = Document(), list(counts), 0
    for token, label in zip(prefix.ids, prefix.label, strict=True):
        if not label:
            made.add([token], 0.0)
        elif label != before:
            count = waiting.pop(0)
            made.add(list(range(first, first + count)), 0.0)
            first += count
        before = label
    return made


def _batch(rng: random.Random, encoder: Encoder, scenes: list[Encoded]) -> Batch:
    def room(lengths: list[int]) -> int:
        return -(-max(lengths) // 4) * 4

    prefix = room([len(head.ids) for head, _ in scenes])
    length = room([len(part.ids) for _, parts in scenes for part in parts])
    branches = max(len(parts) for _, parts in scenes)
    shape = Shape(len(scenes), prefix, branches, length)
    return collate(rng, encoder, scenes, shape, 0.0)


def draw(
    rng: random.Random,
    encoder: Encoder,
    kind: Kind,
    split: Split,
    count: int,
    ratio: float,
    limits: tuple[int, int],
    asks: int,
) -> Memories:
    """`count` scenes of a kind; `limits`: tokens of a segment and vectors of one, at most; `asks`:
    questions of a scene, at most."""
    reach, slots = limits
    parts: list[list[list[int]]] = []
    counts: list[int] = []
    short: list[Encoded] = []
    values: list[list[list[int]]] = []
    for _ in range(count):
        scene = MAKERS[kind.maker](rng, split, kind.mix)
        prefix, branches = encode(encoder, scene)
        first, own = sum(counts), []
        for text in passages(scene):
            parts.append(segments(text, encoder, reach))
            shares = [share(len(part), ratio, slots) for part in parts[-1]]
            own.append(sum(shares))
            counts += shares
            values.append([value_of(branch) for branch in branches])
        asked = rng.sample(branches, min(asks, len(branches)))
        short.append((shorter(prefix, own, VOCAB + first), asked))
    return Memories(parts, counts, _batch(rng, encoder, short), values)


def value_of(branch: Document) -> list[int]:
    """The tokens of an answer that carry the value, perhaps with an article before them."""
    marks = zip(branch.ids, branch.loss, branch.answer, branch.label, strict=True)
    return [
        token for token, loss, answer, label in marks if answer and label and loss == VALUE_LOSS
    ]


__all__ = ["PAD", "Memories", "draw", "passages", "shorter", "with_vectors"]
