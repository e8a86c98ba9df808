"""Rows of a file as what a gist head learns from: a passage, a question, its answer."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from examples.gist.worth import IGNORED, pointing_loss, targets, worth
from ramify.backend.chat import ChatFormat
from ramify.backend.contract import TokenPrompt
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix.gist.encoder import cut, hidden_states
from ramify.backend.radix.gist.resampler import Resampler
from ramify.backend.radix.gist.shares import share
from ramify.backend.render import Renderer, Values
from ramify.compressors.segments import segments
from ramify.ir import Close, Open, Prompt, Text, Vectors

DEV_SHARE, DEV_ROWS = 20, 64  # one row in so many is never trained on; so many of them are checked
_NOTHING = cast(Values, None)  # these prompts hold no values


@dataclass(frozen=True)
class Row:
    """What a line of the file says: JSON with these three keys."""

    passage: str
    question: str
    answer: str


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file. Raises ValueError with the line of one that has not its keys."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found = json.loads(line)
            rows.append(Row(found["passage"], found["question"], found["answer"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path}, line {number}: expected passage, question, answer: {error!r}"
            ) from error
    return rows


class Rows:
    """See `examples.gist.run.Source`. The prompt of a row is what a program writes: a user message
    of `[1]`, the vectors, an empty line and the question."""

    def __init__(
        self, model: PreTrainedModel, folder: Path, rows: Sequence[Row],
        ratios: Sequence[float], *, batch: int = 8, seed: int = 1,
    ) -> None:  # fmt: skip
        self.model, self.ratios, self.batch, self.seed = model, ratios, batch, seed
        tokenizer = HFTokenizer.load(folder)
        self._renderer = Renderer(tokenizer, ChatFormat.from_template(tokenizer))
        self._encode = tokenizer.encode
        self._end = min(self._renderer.end_ids)
        self._dev = list(rows[::DEV_SHARE])
        self._train = [row for at, row in enumerate(rows) if at % DEV_SHARE]
        seen = Counter(token for row in rows for token in {*self._encode(row.passage)})
        most = math.log(1 + max(seen.values(), default=1))
        self._worths = {token: 3 * (1 - math.log(1 + n) / most) for token, n in seen.items()}

    def pointing(self, resampler: Resampler, step: int) -> Tensor:
        """At what the answer says and the question does not, and at rare tokens."""
        rows, ratio = self._step(step)
        parts = self._parts(rows, resampler)
        wanted = []
        for row, own in zip(rows, parts, strict=True):
            asked, said = {*self._encode(" " + row.question)}, self._encode(" " + row.answer)
            ends = [-1, *(at for at, token in enumerate(said) if token in asked), len(said)]
            runs = [said[one + 1 : two] for one, two in pairwise(ends)]
            for part in own:
                count = share(len(part), ratio, resampler.shape.slots)
                wanted.append(targets(worth(part, runs, self._worths), count))
        states, _, sizes, counts = self._read(parts, ratio, resampler)
        return pointing_loss(resampler.read(states, sizes, counts)[1], wanted)

    def answering(self, resampler: Resampler, step: int) -> Tensor:
        """The mean loss of the answers' tokens."""
        logits, labels = self._logits(*self._step(step), resampler)
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())

    @torch.no_grad()
    def check(self, resampler: Resampler) -> dict[str, float]:
        """Answers every token of which is the likeliest one, for each ratio."""
        scores = {}
        for ratio in self.ratios:
            right = 0
            rows = self._dev[:DEV_ROWS]
            for at in range(0, len(rows), self.batch):
                logits, labels = self._logits(rows[at : at + self.batch], ratio, resampler)
                same = (logits.argmax(-1) == labels) | (labels < 0)
                right += int(same.all(-1).sum())
            scores[f"{ratio:g}"] = round(right / max(len(rows), 1), 3)
        return scores

    def _step(self, step: int) -> tuple[list[Row], float]:
        rng = random.Random(f"{self.seed}/{step}")
        return rng.choices(self._train, k=self.batch), rng.choice(self.ratios)

    def _parts(self, rows: Sequence[Row], resampler: Resampler) -> list[list[list[int]]]:
        reach = resampler.shape.reach
        return [segments(row.passage, self._encode, reach) for row in rows]

    def _read(
        self, parts: list[list[list[int]]], ratio: float, resampler: Resampler
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the resampler reads: states, embeddings, sizes, counts."""
        device, shape = self.model.device, resampler.shape
        ids = _padded([[token for part in own for token in part] for own in parts], 0).to(device)
        sizes = [[len(part) for part in own] for own in parts]
        mask = _padded([[1] * sum(own) for own in sizes], 0).to(device)
        flat = [size for own in sizes for size in own]
        counts = [share(size, ratio, shape.slots) for size in flat]
        with torch.no_grad():
            states = hidden_states(self.model, ids, mask, shape.taps)
            embedded = self.model.get_input_embeddings()(ids).float()
        return (
            cut(states, sizes), cut(embedded, sizes),
            torch.tensor(flat, device=device), torch.tensor(counts, device=device),
        )  # fmt: skip

    def _prompt(self, question: str, count: int) -> TokenPrompt:
        """A prompt with so many vectors."""
        soft = Vectors.of([[0.0]] * count)
        prompt = Prompt().append(Open("user"), Text(("[1]",)), soft, Text((f"\n\n{question}",)),
                                 Close("user"), Open("assistant"))  # fmt: skip
        return self._renderer.rendering(_NOTHING).render(prompt)

    def _logits(
        self, rows: Sequence[Row], ratio: float, resampler: Resampler
    ) -> tuple[Tensor, Tensor]:
        """Logits [D, N, vocabulary] and the tokens that they should give [D, N]."""
        parts = self._parts(rows, resampler)
        vectors = resampler(*self._read(parts, ratio, resampler))
        slots = resampler.shape.slots
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        where: list[tuple[int, int]] = []
        for row, own in zip(rows, parts, strict=True):
            count = sum(share(len(part), ratio, slots) for part in own)
            prompt = self._prompt(row.question, count)
            answer = [*self._encode(self._renderer.answer_tail(prompt) + row.answer), self._end]
            (span,) = prompt.vectors
            where += [(len(ids), at) for at in range(span.start, span.stop)]
            ids.append([*prompt.ids, *answer[:-1]])
            labels.append([IGNORED] * (len(prompt) - 1) + answer)
        device = self.model.device
        mask = _padded([[1] * len(row) for row in ids], 0).to(device)
        x = self.model.get_input_embeddings()(_padded(ids, 0).to(device))
        at = torch.tensor(where, device=device).unbind(1)
        x = x.index_put(at, vectors.to(x.dtype))
        logits = self.model(inputs_embeds=x, attention_mask=mask, use_cache=False).logits
        return logits, _padded(labels, IGNORED).to(device)


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    wide = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (wide - len(row))] for row in rows])
