"""The next token of every row: greedy rows in one argmax, the rest by each request's own rules.

What a row draws depends on its logits, its seed and its step alone, never on its neighbours: the
random number comes from a counter-based generator with the key (seed, step), and tokens are drawn
by inverting the distribution in order of id, so that rounding in the logits changes nothing but
draws that lie at a border.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ramify.backend.contract import NO_BANS, Bans, TokenLogprobs
from ramify.backend.radix.slots import IntArray
from ramify.errors import BackendError, ConstraintError
from ramify.ir.sampling import Sampling

_SEED_MASK = (1 << 64) - 1


class Matcher(Protocol):
    """Where an answer stands in its grammar: see `ramify.backend.radix.grammar`."""

    @property
    def finished(self) -> bool: ...
    def mask(self, out: NDArray[np.int32]) -> None: ...
    def advance(self, token: int) -> None: ...
    def forced(self) -> list[int]: ...
    def copy(self) -> Matcher: ...


@dataclass(slots=True)
class Row:
    """What the sampler must know of one answer."""

    sampling: Sampling
    seed: int
    matcher: Matcher | None = None
    vocabulary: int = 0  # tokens that the matcher's mask speaks of
    ends: tuple[int, ...] = ()  # tokens that end the answer, banned before `min_tokens`
    bans: Bans = NO_BANS
    step: int = 0  # tokens sampled so far
    prompt: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    answer: IntArray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def plain(self) -> bool:
        """Whether the answer is the largest logit and nothing else is asked."""
        s = self.sampling
        return (
            s.temperature == 0
            and self.matcher is None
            and not s.logprobs
            and self.step >= s.min_tokens
            and not self.penalized
        )

    @property
    def greedy(self) -> bool:
        """Whether the answer is the largest logit, whatever token that is."""
        return self.plain and not self.banned

    @property
    def banned(self) -> tuple[int, ...]:
        """Tokens that must not come next."""
        return self.bans.always if self.step else self.bans.always + self.bans.first

    @property
    def penalized(self) -> bool:
        """Whether tokens that were there before are made less likely."""
        s = self.sampling
        return bool(s.frequency_penalty or s.presence_penalty or s.repetition_penalty != 1)


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token, or why there is none (`token` is -1 then)."""

    token: int
    logprobs: TokenLogprobs | None = None
    error: BackendError | None = None


@dataclass(frozen=True, slots=True)
class Largest:
    """The best token of every row of logits [n, V], and whether its logit is a finite number; a
    NaN anywhere in a row is its largest."""

    tokens: list[int]
    finite: list[bool]

    @classmethod
    def of(cls, logits: Tensor) -> Largest:
        """Found in the logits themselves."""
        if logits.device.type == "cpu" and logits.dtype == torch.float32:  # four times as fast
            array = logits.cpu().numpy()
            ids = array.argmax(-1)
            return cls(ids.tolist(), np.isfinite(array[np.arange(len(ids)), ids]).tolist())
        best, found = logits.max(-1)
        return cls(found.tolist(), torch.isfinite(best).tolist())


def choose(logits: Tensor | Largest, rows: Seq[Row]) -> list[Choice]:
    """One token per row of logits [n, V]; the largest ones are enough where all rows are greedy."""
    best = logits if isinstance(logits, Largest) else Largest.of(logits)
    tokens, finite = best.tokens, best.finite
    choices = [
        Choice(token) if ok else Choice(-1, error=no_numbers())
        for token, ok in zip(tokens, finite, strict=True)
    ]
    if isinstance(logits, Largest):
        return choices
    rest = [
        i
        for i, row in enumerate(rows)
        if finite[i] and not (row.plain and tokens[i] not in row.banned)
    ]
    if rest:
        picked = _choose_by_rules(logits[rest].float(), [rows[i] for i in rest])
        for i, choice in zip(rest, picked, strict=True):
            choices[i] = choice
    return choices


def _choose_by_rules(logits: Tensor, rows: list[Row]) -> list[Choice]:
    raw = torch.log_softmax(logits, -1) if any(row.sampling.logprobs for row in rows) else None
    scores = logits.clone()
    errors = [_edit(score, row) for score, row in zip(scores, rows, strict=True)]
    ids = scores.argmax(-1)
    tokens = ids.tolist()
    chance = [i for i, row in enumerate(rows) if row.sampling.temperature > 0 and not errors[i]]
    if chance:
        drawn = _draw(scores[chance], [rows[i] for i in chance])
        for i, token in zip(chance, drawn, strict=True):
            tokens[i] = token
    choices = []
    for i, (row, error) in enumerate(zip(rows, errors, strict=True)):
        if error is not None:
            choices.append(Choice(-1, error=error))
            continue
        found = None
        if raw is not None and row.sampling.logprobs:
            found = _logprobs(raw[i], tokens[i], row.sampling.logprobs)
        choices.append(Choice(tokens[i], found))
    return choices


def _edit(score: Tensor, row: Row) -> BackendError | None:
    """Grammar, end tokens that come too early, and penalties, in place on [V].

    Returns the error that ends this answer, if there is no way to go on.
    """
    sampling, vocab = row.sampling, len(score)
    if row.matcher is not None:
        bits = np.zeros((max(vocab, row.vocabulary) + 31) // 32, np.int32)
        try:
            row.matcher.mask(bits)
        except BackendError as error:
            return error
        banned = np.unpackbits(bits.view(np.uint8), bitorder="little")[:vocab] == 0
        score.masked_fill_(torch.from_numpy(banned).to(score.device), float("-inf"))
    if row.ends and row.step < sampling.min_tokens:
        score[[i for i in row.ends if i < vocab]] = float("-inf")
    if row.bans:
        score[[i for i in row.banned if i < vocab]] = float("-inf")
    if row.matcher is not None and not bool((score > float("-inf")).any()):
        return ConstraintError(
            f"the constraint ends after {row.step} tokens, and min_tokens={sampling.min_tokens} "
            "wants more.",
            hint="Lower min_tokens.",
        )
    if row.penalized:
        _penalize(score, row)
    return None


def _penalize(score: Tensor, row: Row) -> None:
    """Make tokens that were there before less likely, in place on [V]."""
    sampling = row.sampling
    if sampling.repetition_penalty != 1:  # CTRL (arXiv:1909.05858): prompt and answer
        read = np.unique(np.concatenate((row.prompt, row.answer)))
        seen = torch.from_numpy(read[read >= 0]).to(score.device)  # below 0: vectors
        value, by = score[seen], sampling.repetition_penalty
        score[seen] = torch.where(value > 0, value / by, value * by)
    if len(row.answer):  # OpenAI's: answer only
        ids, counts = np.unique(row.answer, return_counts=True)
        minus = counts * sampling.frequency_penalty + sampling.presence_penalty
        score[torch.from_numpy(ids).to(score.device)] -= torch.from_numpy(minus).to(score)


def _draw(scores: Tensor, rows: list[Row]) -> list[int]:
    """Tokens drawn from scores [m, V]: temperature, top-k, top-p, min-p, in this order."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=scores.device)[:, None]

    options = [row.sampling for row in rows]
    vocab = scores.shape[1]
    scores = scores / column([s.temperature for s in options])
    top_k = [s.top_k if 0 < s.top_k < vocab else vocab for s in options]
    if min(top_k) < vocab:
        largest = scores.topk(max(k for k in top_k if k < vocab)).values
        for score, values, k in zip(scores, largest, top_k, strict=True):
            if k < vocab:
                score.masked_fill_(score < values[k - 1], float("-inf"))
    probs = torch.softmax(scores, -1)
    if any(s.top_p < 1 for s in options):
        ordered = probs.sort(-1, descending=True).values
        before = ordered.cumsum(-1) - ordered
        kept = before < column([s.top_p for s in options])
        smallest = ordered.masked_fill(~kept, float("inf")).amin(-1, keepdim=True)
        probs = probs.masked_fill(probs < smallest, 0)
    if any(s.min_p > 0 for s in options):
        floor = probs.amax(-1, keepdim=True) * column([s.min_p for s in options])
        probs = probs.masked_fill(probs < floor, 0)
    sums = probs.double().cumsum(-1).cpu().numpy()
    return [_invert(total, row) for total, row in zip(sums, rows, strict=True)]


def _invert(sums: NDArray[np.float64], row: Row) -> int:
    """The id at a random height of a cumulative distribution."""
    key = np.array([row.seed & _SEED_MASK, row.step], np.uint64)
    height = np.random.Generator(np.random.Philox(key=key)).random() * sums[-1]
    found = int(np.searchsorted(sums, height, side="right"))
    last = int(np.searchsorted(sums, sums[-1], side="left"))  # the last id with any probability
    return min(found, last)


def _logprobs(raw: Tensor, token: int, count: int) -> TokenLogprobs:
    """Of the model itself: before temperature, penalties and grammar."""
    top = raw.topk(min(count, len(raw)))
    pairs = tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    return TokenLogprobs(token, float(raw[token]), pairs)


def no_numbers() -> BackendError:
    """The error of an answer whose logits are broken."""
    return BackendError(
        "the model's logits for the next token are not finite numbers.",
        hint="The weights or the dtype may be at fault: try dtype='float32'.",
    )
