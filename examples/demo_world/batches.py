"""From scenes to batches: token ids, loss weights, who may look at whom."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch

from examples.demo_world.kernels import HALF
from examples.demo_world.lean import Shape
from examples.demo_world.passages import CONTEXT_LOSS, CONTEXT_SHARE, Piece
from examples.demo_world.stages import Kind, Stage
from examples.demo_world.tasks import END_LOSS, MAKERS, Message, Scene
from examples.demo_world.tokenizer import END, PAD, Encoder
from examples.demo_world.town import Split

FAR = -1e9  # added to a score: not seen


@dataclass
class Document:
    """A stretch of tokens; `answer[i]` says whether token i belongs to an answer, `label[i]` to
    which passage (0: none), `told[i]` which aspects are told (`passages.Piece`)."""

    ids: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    answer: list[bool] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    def add(
        self, ids: list[int], loss: float, answer: bool = False, label: int = 0, told: int = 0
    ) -> None:
        """Go on with `ids`."""
        self.ids += ids
        self.label += [label] * len(ids)
        self.told += [told] * len(ids)
        self.loss += [loss] * len(ids)
        self.answer += [answer] * len(ids)


@dataclass(frozen=True)
class Batch:
    """D scenes with B branches each, as `lean.Lean` reads them: prefixes first, then branches.

    ids, position, target, loss, answer, label, told: [tokens]. `loss` and `target` belong to the
    token that is read (they are about the next one); `answer` numbers the answers of the batch, -1
    outside. `label`: of the passage that the token belongs to or is about, 0 for none. `told`: as
    bits the aspect that a passage has just told, or those of the answer's passage; 0 for none.
    """

    shape: Shape
    ids: torch.Tensor
    position: torch.Tensor
    target: torch.Tensor
    loss: torch.Tensor
    answer: torch.Tensor
    label: torch.Tensor
    told: torch.Tensor
    prefix_mask: torch.Tensor
    branch_mask: torch.Tensor

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        names = [name for name in self.__dataclass_fields__ if name != "shape"]
        return Batch(self.shape, *(getattr(self, name).to(device) for name in names))


def add_pieces(
    document: Document, encoder: Encoder, pieces: tuple[Piece, ...], answer: bool
) -> None:
    """The pieces' tokens."""
    for piece in pieces:
        ids = [encoder.special[piece.text]] if piece.special else encoder(piece.text)
        document.add(ids, piece.loss, answer and piece.loss > 0, piece.label, piece.told)


def add_message(document: Document, encoder: Encoder, message: Message) -> None:
    """A whole message; an answer counts up to its `<|end|>`."""
    answer = message.role == "assistant"
    document.add([encoder.special[f"<|{message.role}|>"]], 0.0)
    add_pieces(document, encoder, message.pieces, answer)
    document.add([encoder.special[END]], END_LOSS if answer else 0.0, answer)


def encode(encoder: Encoder, scene: Scene) -> tuple[Document, list[Document]]:
    """The prefix and the branches of a scene."""
    prefix = Document()
    for message in scene.messages:
        add_message(prefix, encoder, message)
    if scene.open is not None:
        prefix.add([encoder.special["<|user|>"]], 0.0)
        add_pieces(prefix, encoder, scene.open, False)
    branches = []
    for messages in scene.branches:
        branch = Document()
        rest = messages
        if scene.open is not None:
            (piece,) = messages[0].pieces
            text = "\n\n" + piece.text[1:] if scene.open else piece.text
            branch.add(encoder(text), piece.loss)
            branch.add([encoder.special[END]], 0.0)
            rest = messages[1:]
        for message in rest:
            add_message(branch, encoder, message)
        branches.append(branch)
    return prefix, branches


def _round(length: int) -> int:
    return -(-length // 4) * 4


def _size(one: tuple[Document, list[Document]]) -> int:
    return len(one[0].ids) + sum(len(part.ids) for part in one[1])


def fill(
    rng: random.Random, encoder: Encoder, kind: Kind, split: Split, tokens: int, share: float
) -> Batch:
    """A batch of one kind of about `tokens` tokens, padding counted.

    `share` of the context's tokens keep their small loss.
    """
    pool = [encode(encoder, MAKERS[kind.maker](rng, split, kind.mix)) for _ in range(2)]
    while sum(_size(one) for one in pool) < 2.2 * tokens:  # twice what is needed,
        pool.append(encode(encoder, MAKERS[kind.maker](rng, split, kind.mix)))
    pool.sort(key=lambda one: (max(len(part.ids) for part in one[1]), len(one[0].ids)))
    if rng.random() < 0.5:  # so that the longer or the shorter half is padded less
        pool.reverse()
    scenes: list[tuple[Document, list[Document]]] = []
    prefix = branch = 0
    for one in pool:
        count = max(len(parts) for _, parts in [*scenes, one])
        wide = max(prefix, _round(len(one[0].ids)))
        long = max(branch, _round(max(len(part.ids) for part in one[1])))
        if scenes and (len(scenes) + 1) * (wide + count * long) > tokens:
            break
        scenes.append(one)
        prefix, branch = wide, long
    branches = max(len(parts) for _, parts in scenes)
    return collate(rng, encoder, scenes, Shape(len(scenes), prefix, branches, branch), share)


def collate(
    rng: random.Random,
    encoder: Encoder,
    scenes: list[tuple[Document, list[Document]]],
    shape: Shape,
    share: float,
) -> Batch:
    """Put encoded scenes into tensors, padded at their right."""
    pad = encoder.special[PAD]
    heads, tails = [], []
    masks = torch.zeros(shape.scenes, shape.prefix)
    answers = 0
    for at, (head, parts) in enumerate(scenes):
        masks[at, len(head.ids) :] = FAR
        heads.append(_row(rng, head, shape.prefix, 0, -1, pad, share))
        for part in parts + [Document()] * (shape.branches - len(parts)):
            number = answers if any(part.answer) else -1
            answers += any(part.answer)
            tails.append(_row(rng, part, shape.length, len(head.ids), number, pad, share))
    ids, position, target, loss, answer, label, told = (
        torch.tensor([value for row in (*heads, *tails) for value in row[name]])
        for name in range(7)
    )
    causal = torch.full((shape.prefix, shape.prefix), FAR).triu(1)
    own = torch.full((shape.length, shape.length), FAR).triu(1)
    branch_mask = torch.cat(
        [
            masks[:, None].expand(-1, shape.length, -1),
            own.expand(shape.scenes, -1, -1),
        ],
        -1,
    )
    return Batch(
        shape, ids, position, target, loss.float(), answer, label, told,
        causal.to(HALF)[None, None, None], branch_mask.to(HALF)[:, None, None, None],
    )  # fmt: skip


Row = tuple[
    list[int], list[int], list[int], list[float], list[int], list[int], list[int]
]


def _row(
    rng: random.Random, part: Document, length: int, start: int, number: int, pad: int, share: float
) -> Row:
    """ids, positions, targets, losses, answers, labels and told of one padded stretch."""
    size = len(part.ids)
    loss = [0.0 if at == CONTEXT_LOSS and rng.random() > share else at for at in part.loss]
    rest = length - size
    return (
        part.ids + [pad] * rest,
        list(range(start, start + length)),
        part.ids[1:] + [pad] * (rest + 1 if size else rest),
        loss[1:] + [0.0] * (rest + 1 if size else rest),
        [number if at else -1 for at in part.answer[1:]] + [-1] * (rest + 1 if size else rest),
        part.label + [0] * rest,
        part.told + [0] * rest,
    )


def training_batches(
    encoder: Encoder, seed: int, step: int, stage: Stage, tokens: int
) -> list[Batch]:
    """The batches of a step, one or two kinds: the same for the same seed, step and stage."""
    rng = random.Random(f"{seed}/{stage.name}/{step}")
    kinds = rng.choices(stage.kinds, [kind.weight for kind in stage.kinds], k=2)
    if kinds[0] is kinds[1]:
        return [fill(rng, encoder, kinds[0], "train", tokens, CONTEXT_SHARE)]
    return [fill(rng, encoder, kind, "train", tokens // 2, CONTEXT_SHARE) for kind in kinds]


def dev_batch(encoder: Encoder, kind: Kind, tokens: int) -> Batch:
    """A fixed batch over dev towns, for the gates."""
    rng = random.Random(f"dev/{kind.name}")
    return fill(rng, encoder, kind, "dev", tokens, 0.0)
