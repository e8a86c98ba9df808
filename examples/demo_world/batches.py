"""From conversations to packed rows: token ids, loss weights, who may look at whom."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from examples.demo_world.stages import STAGES, Stage
from examples.demo_world.tasks import CONTEXT_LOSS, CONTEXT_SHARE, Message, Mix, conversation
from examples.demo_world.tokenizer import END, PAD, Encoder
from examples.demo_world.town import Split


@dataclass(frozen=True)
class Document:
    """One encoded conversation. `answer[i]` counts the answers; -1 where i is in none."""

    ids: list[int]
    loss: list[float]
    answer: list[int]


@dataclass(frozen=True)
class Batch:
    """Packed rows, all [rows, length]: a token sees earlier tokens of its own document only.

    `document` numbers the documents of a row (-1 padding); `answer` numbers the answers of the
    whole batch (-1 outside). Inputs are `ids[:, :-1]`, targets `ids[:, 1:]`.
    """

    ids: torch.Tensor
    loss: torch.Tensor
    answer: torch.Tensor
    document: torch.Tensor
    position: torch.Tensor

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def mask(self, dtype: torch.dtype) -> torch.Tensor:
        """Additive attention mask [rows, 1, length - 1, length - 1] of the inputs."""
        document = self.document[:, :-1]
        same = document[:, :, None] == document[:, None, :]
        seen = torch.tril(same)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def encode(encoder: Encoder, messages: list[Message]) -> Document:
    """A conversation as tokens; an answer counts from its first token to its `<|end|>`."""
    document = Document([], [], [])
    answers = 0

    def add(ids: list[int], loss: float, answer: int) -> None:
        document.ids.extend(ids)
        document.loss.extend([loss] * len(ids))
        document.answer.extend([answer] * len(ids))

    for message in messages:
        add([encoder.special[f"<|{message.role}|>"]], 0.0, -1)
        at = answers if message.role == "assistant" else -1
        for piece in message.pieces:
            add(encoder(piece.text), piece.loss, at)
        add([encoder.special[END]], 0.3 if at >= 0 else 0.0, at)
        answers += at >= 0
    return document


def pick_mix(rng: random.Random, stage: int, stages: tuple[Stage, ...] = STAGES) -> Mix:
    """The stage's own mix, or one of an earlier stage."""
    if stage == 0 or rng.random() < stages[stage].share:
        return stages[stage].mix
    return stages[rng.randrange(stage)].mix


def pack(
    rng: random.Random, encoder: Encoder, mixes: list[Mix], split: Split, rows: int, length: int
) -> Batch:
    """Fill `rows` rows of `length` tokens with conversations, several to a row where they fit."""
    pad = encoder.special[PAD]
    shape = (rows, length)
    ids, loss = torch.full(shape, pad), torch.zeros(shape)
    answer, document = torch.full(shape, -1), torch.full(shape, -1)
    position = torch.zeros(shape, dtype=torch.long)
    answers = 0
    waiting: list[Document] = []
    for row in range(rows):
        start, number = 0, 0
        while length - start > 40:
            fits = [one for one in waiting if len(one.ids) <= length - start]
            if fits:
                one = max(fits, key=lambda doc: len(doc.ids))
                waiting.remove(one)
            elif number and len(waiting) >= 8:
                break
            else:
                one = encode(encoder, conversation(rng, split, rng.choice(mixes)))
                if start and len(one.ids) > length - start:
                    waiting.append(one)
                    continue
            size = min(len(one.ids), length - start)
            span = slice(start, start + size)
            ids[row, span] = torch.tensor(one.ids[:size])
            loss[row, span] = torch.tensor(
                [
                    0.0 if at == CONTEXT_LOSS and rng.random() > CONTEXT_SHARE else at
                    for at in one.loss[:size]
                ]
            )
            here = torch.tensor(one.answer[:size])
            answer[row, span] = torch.where(here >= 0, here + answers, here)
            answers += max(one.answer) + 1
            document[row, span] = number
            position[row, span] = torch.arange(size)
            start, number = start + size, number + 1
    return Batch(ids, loss, answer, document, position)


def training_batch(encoder: Encoder, seed: int, step: int, stage: int, tokens: int) -> Batch:
    """The batch of a step: the same for the same seed, step and stage, on any machine."""
    rng = random.Random(f"{seed}/{stage}/{step}")
    length = STAGES[stage].length
    mixes = [pick_mix(rng, stage) for _ in range(64)]
    return pack(rng, encoder, mixes, "train", max(1, tokens // length), length)
