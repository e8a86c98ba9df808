"""How tokens are chosen, against transformers' own warpers and against counting."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.radix.sampler import Row, choose
from ramify.errors import BackendError, ConstraintError
from ramify.ir.sampling import Sampling

VOCAB = 50


def row(seed: int = 0, step: int = 0, **options: object) -> Row:
    return Row(Sampling.of(**options), seed, step=step)


def logits(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, VOCAB, generator=torch.Generator().manual_seed(seed)) * 3


@dataclass
class Allow:
    """A matcher that allows a fixed set."""

    ids: list[int]
    finished: bool = False
    taken: list[int] = field(default_factory=list)

    def mask(self, out: np.ndarray) -> None:
        if not self.ids:
            raise ConstraintError("nothing can follow")
        bits = np.zeros(len(out) * 32, np.uint8)
        bits[self.ids] = 1
        out[:] = np.packbits(bits, bitorder="little").view(np.int32)

    def advance(self, token: int) -> None:
        self.taken.append(token)


def test_greedy_rows_take_the_largest_logit() -> None:
    scores = logits(4)
    assert [c.token for c in choose(scores, [row()] * 4)] == scores.argmax(-1).tolist()


@settings(max_examples=60, deadline=None)
@given(
    temperature=st.floats(0.2, 3),
    top_k=st.integers(0, 60),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.5),
    seed=st.integers(0, 30),
)
def test_only_what_transformers_keeps_is_drawn(
    temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    scores = logits(1, seed)
    kept = TemperatureLogitsWarper(temperature)(None, scores)
    if top_k:
        kept = TopKLogitsWarper(top_k)(None, kept)
    kept = TopPLogitsWarper(top_p)(None, kept)
    kept = MinPLogitsWarper(min_p)(None, kept)
    allowed = set(torch.isfinite(kept[0]).nonzero()[:, 0].tolist())
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    rows = [row(seed, step, **options) for step in range(100)]
    drawn = {c.token for c in choose(scores.expand(100, -1), rows)}
    assert drawn <= allowed
    assert drawn == allowed or len(allowed) > 5


def test_tokens_are_drawn_as_often_as_they_should_be() -> None:
    scores = logits(1)[:, :6]
    count = 20_000
    rows = [row(5, step, temperature=1.0) for step in range(count)]
    drawn = torch.tensor([c.token for c in choose(scores.expand(count, -1), rows)])
    share = torch.bincount(drawn, minlength=6) / count
    assert (share - torch.softmax(scores[0], -1)).abs().max() < 0.015


def test_a_draw_depends_on_seed_and_step_and_nothing_else() -> None:
    scores = logits(3)
    rows = [row(seed, step, temperature=1.5) for seed, step in ((1, 0), (1, 1), (2, 0))]
    alone = [choose(scores[i : i + 1], [r])[0].token for i, r in enumerate(rows)]
    company = [row(9, 9, temperature=0.7, top_k=3), row()]
    many = choose(torch.cat((logits(2, 8), scores)), company + rows)
    assert [c.token for c in many[2:]] == alone
    same = choose(scores[:1].expand(50, -1), [row(i, 0, temperature=1.5) for i in range(50)])
    assert len({c.token for c in same}) > 5


def test_rounding_of_the_logits_does_not_change_a_draw() -> None:
    scores = logits(1).expand(500, -1)
    rows = [row(3, step, temperature=1.0) for step in range(500)]
    noise = torch.randn(500, VOCAB) * 1e-6
    assert choose(scores, rows) == choose(scores + noise, rows)


@pytest.mark.parametrize("seed", [-1, 2**64 + 5, 2**63])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert choose(logits(1), [row(seed, temperature=1.0)])[0].error is None


def test_penalties() -> None:
    scores = torch.zeros(1, VOCAB)
    scores[0, :4] = torch.tensor([5.0, 4.9, 4.0, -1.0])
    again = row(repetition_penalty=2.0)
    again.prompt, again.answer = np.array([0]), np.array([1])
    assert choose(scores, [again])[0].token == 2
    often = row(frequency_penalty=0.4)
    often.answer = np.array([0, 0, 0, 1])
    assert choose(scores, [often])[0].token == 1
    present = row(presence_penalty=1.0)
    present.prompt, present.answer = np.array([1]), np.array([0])
    assert choose(scores, [present])[0].token == 1  # the prompt does not count


def test_repetition_penalty_is_that_of_transformers() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    scores = logits(1)
    seen = np.array([3, 7, 3, 40])
    want = RepetitionPenaltyLogitsProcessor(1.7)(torch.from_numpy(seen)[None], scores.clone())
    one = row(repetition_penalty=1.7, temperature=1e-4, seed=1)
    one.prompt, one.answer = seen[:2], seen[2:]
    assert choose(scores, [one])[0].token == int(want.argmax())


def test_end_tokens_wait_for_min_tokens() -> None:
    scores = logits(1)
    end = int(scores.argmax())
    early, late = row(step=1, min_tokens=2), row(step=2, min_tokens=2)
    early.ends = late.ends = (end, 999)
    assert choose(scores, [early])[0].token == int(scores[0].topk(2).indices[1])
    assert choose(scores, [late])[0].token == end


def test_a_grammar_allows_what_it_allows() -> None:
    scores = logits(2)
    rows = [row(), row(temperature=2.0, seed=4)]
    for r in rows:
        r.matcher = Allow([13, 44])
    assert {c.token for c in choose(scores, rows)} <= {13, 44}
    rows[0].vocabulary = 200  # a tokenizer may know more tokens than the model
    assert choose(scores, rows)[0].token in (13, 44)


def test_a_grammar_that_fails_ends_only_its_own_answer() -> None:
    scores = logits(3)
    stuck, ended = row(), row(min_tokens=3)
    stuck.matcher = Allow([])
    ended.matcher, ended.ends = Allow([7]), (7,)
    first, second, third = choose(scores, [stuck, ended, row()])
    assert isinstance(first.error, ConstraintError)
    assert isinstance(second.error, ConstraintError) and "min_tokens=3" in str(second.error)
    assert third.token == int(scores[2].argmax())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_numbers_end_only_their_own_answer(value: float) -> None:
    scores = logits(4)
    scores[1] = value
    scores[2, 3] = float("nan")
    found = choose(scores, [row(), row(temperature=1.0), row(), row(temperature=1.0, seed=2)])
    assert [isinstance(c.error, BackendError) for c in found] == [False, True, True, False]


def test_logprobs_are_the_models_own() -> None:
    scores = logits(2)
    options = {"temperature": 0.3, "seed": 1, "top_k": 2, "logprobs": 3}
    for choice, score in zip(choose(scores, [row(**options)] * 2), scores, strict=True):
        want = torch.log_softmax(score, -1)
        assert choice.logprobs is not None and choice.logprobs.id == choice.token
        assert choice.logprobs.logprob == pytest.approx(float(want[choice.token]), abs=1e-6)
        assert [i for i, _ in choice.logprobs.top] == want.topk(3).indices.tolist()
