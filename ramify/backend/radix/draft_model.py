"""Drafts from a smaller model with the same tokenizer, over a radix cache of its own.

The small model runs behind an engine of its own: each round of drafts is a batch of short requests
to it, which find all but the last few tokens in its tree. It draws by the answer's own options
with the random numbers of the answer's own places, so that also with a temperature the two models
draw the same token wherever their distributions are alike.
"""

from __future__ import annotations

from dataclasses import replace

from ramify.backend.contract import Delta, Request, Scores, TokenPrompt, Usage
from ramify.backend.radix.answer import Answer
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.jobs import Generation
from ramify.backend.stream import TextStream


class _Silent:
    """A tokenizer whose tokens have no text."""

    name, vocab_size = "silent", 0
    end_ids: frozenset[int] = frozenset()
    start_ids: tuple[int, ...] = ()

    def encode(self, text: str, *, first: bool = False) -> tuple[int, ...]:
        return ()

    def encode_control(self, text: str) -> tuple[int, ...]:
        return ()

    def decode(self, ids: object) -> str:
        return ""

    def bytes_of(self, token: int) -> bytes:
        return b""


class DraftModel:
    """Continues answers by a few tokens each."""

    def __init__(self, engine: Engine) -> None:
        """`engine` runs the small model, and nobody else uses it."""
        self._engine = engine
        self._vocab = engine.model.body.vocab
        self._room = min(engine.model.context, engine.scheduler.cache.capacity)

    def propose(self, wants: dict[Answer, int]) -> dict[Answer, list[int]]:
        """Up to so many tokens for each answer; nothing where the small model cannot read it: too
        long, with vectors in it, or with tokens that it does not have."""
        found: dict[Answer, list[int]] = {}
        for answer, count in wants.items():
            sequence = answer.sequence
            known = sequence.known
            most = min(count, self._room - len(known))
            if most > 0 and known.min() >= 0 and known.max() < self._vocab:
                found[answer] = []
                self._engine.submit(self._job(answer, most, found[answer]))
        while self._engine.busy:
            self._engine.step()
        return found

    def _job(self, answer: Answer, count: int, out: list[int]) -> Generation:
        row, sequence = answer.row, answer.sequence
        sampling = replace(
            row.sampling, max_tokens=row.step + count, min_tokens=0, stop=(), stop_ids=(),
            ignore_end=True, logprobs=0,
        )  # fmt: skip
        request = Request(
            prompt=TokenPrompt(tuple(sequence.known.tolist())), sampling=sampling,
            salt=answer.job.salt, bans=row.bans,
        )  # fmt: skip

        def sink(item: Delta | Scores | Usage | BaseException) -> None:
            if isinstance(item, Delta):  # an error leaves the draft as it is
                out.extend(item.ids)

        job = Generation(
            request, sink, TextStream(_Silent()), room=row.step + count, seed=row.seed,
            end_ids=frozenset(),
        )  # fmt: skip
        job.main.row.step = row.step
        return job
