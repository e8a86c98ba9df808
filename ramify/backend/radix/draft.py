"""Drafts: tokens that may come next, verified by the model in one pass.

A drafted token is a row more in a step. The sampler draws every row as if all tokens before it
were certain, with the random numbers of its place in the answer; an answer takes what was drawn
up to the first token that is not the drafted one. So the answer is what it would be without
drafts, greedy or with a seed: nothing is accepted but what would have been drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

from ramify.backend.radix.answer import Answer
from ramify.backend.radix.draft_cost import DraftPolicy, Record
from ramify.backend.radix.ngrams import Ngrams
from ramify.backend.radix.sampler import Matcher, Row
from ramify.backend.radix.sequence import Sequence
from ramify.errors import ConstraintError

FORCED, MODEL = 0, 1  # kinds of sources; n-grams have the kinds 2 and up, by length of the match


@dataclass(slots=True)
class Draft:
    """The tokens drafted for one answer in this step."""

    tokens: list[int]
    kind: int
    matchers: list[Matcher] = field(default_factory=list)  # behind each token, if constrained


class Proposer(Protocol):
    """A second source of drafts, asked for all answers at once: see `draft_model`."""

    def propose(self, wants: dict[Answer, int]) -> dict[Answer, list[int]]: ...


class Drafter:
    """Makes drafts before each step, and judges them after it."""

    def __init__(self, policy: DraftPolicy, proposer: Proposer | None = None) -> None:
        self.policy = policy
        self._ngrams = Ngrams()
        self._proposer = proposer
        self._records: dict[Sequence, Record] = {}
        self._drafts: dict[Sequence, Draft] = {}
        self._begun = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is drafted in this step."""
        return not self._drafts

    def prepare(self, answers: list[Answer]) -> None:
        """Write drafts behind the known tokens of answers that are about to go on by one."""
        self._begun = perf_counter()
        self._drafts.clear()
        count = rows = len(answers)
        if self.policy.rests(count):
            return
        rest: dict[Answer, int] = {}
        lookers = self.policy.lookers(count) if count else ()
        for at, answer in enumerate(answers):
            sequence, constrained = answer.sequence, answer.row.matcher is not None
            sequence.drafted = 0
            if not (constrained or at in lookers or self._proposer is not None):
                continue
            room = min(answer.left - 1, self.policy.most)
            if room < 1:
                continue
            record = self._record(sequence)
            draft = None
            if constrained or (at in lookers and self.policy.looks(record)):
                draft = self._lookup(answer, record, room, count, rows)
                self.policy.looked(record, draft is not None)
            if draft is not None:
                rows += self._write(answer, draft)
            elif self._proposer is not None:
                most = self.policy.width(record, MODEL, answers=count, rows=rows)
                if most:
                    rest[answer] = min(most, room)
                    rows += rest[answer]
        if self._proposer is not None and rest:
            for answer, tokens in self._proposer.propose(rest).items():
                self._write(answer, Draft(tokens, MODEL))

    def _record(self, sequence: Sequence) -> Record:
        record = self._records.get(sequence)
        if record is None:
            record = self._records[sequence] = Record()
        return record

    def _lookup(
        self, answer: Answer, record: Record, room: int, answers: int, rows: int
    ) -> Draft | None:
        matcher = answer.row.matcher
        forced = matcher.forced() if matcher is not None else []
        if forced:
            most = self.policy.width(record, FORCED, answers=answers, rows=rows)
            return Draft(forced[: min(most, room)], FORCED) if most else None
        tokens, length = self._ngrams.propose(answer.sequence, room)
        if not tokens:
            return None
        most = self.policy.width(record, length, answers=answers, rows=rows)
        return Draft(tokens[:most], length) if most else None

    def _write(self, answer: Answer, draft: Draft) -> int:
        """Put a draft into the buffer, as far as a grammar allows it; how many tokens it has."""
        sequence = answer.sequence
        if answer.row.matcher is not None:
            draft.matchers = _along(answer.row.matcher, draft.tokens)
            del draft.tokens[len(draft.matchers) :]
        count = len(draft.tokens)
        if count:
            sequence.tokens[sequence.length : sequence.length + count] = draft.tokens
            sequence.drafted = count
            self._drafts[sequence] = draft
        return count

    def measure(self, rows: int) -> None:
        """A step of so many rows has ended, all of them tokens of answers and drafts: the time
        since `prepare` began says what a row costs."""
        self.policy.cost.observe(rows, perf_counter() - self._begun)

    def rows(self, answer: Answer, count: int) -> list[Row]:
        """What the sampler must know of the `count` rows of an answer, one behind the other."""
        row = answer.sampling_row()
        if count == 1:
            return [row]
        draft, sequence = self._drafts[answer.sequence], answer.sequence
        found = [row]
        begin = sequence.length - len(row.answer)
        for at in range(1, count):
            matcher = draft.matchers[at - 1] if row.matcher is not None else None
            tokens = sequence.tokens[begin : sequence.length + at] if row.penalized else row.answer
            found.append(replace(row, step=row.step + at, matcher=matcher, answer=tokens))
        return found

    def drafted(self, answer: Answer) -> list[int]:
        """The tokens that were drafted for an answer in this step."""
        draft = self._drafts.get(answer.sequence)
        return [] if draft is None else draft.tokens

    def judge(self, answer: Answer, accepted: int) -> int:
        """The first so many tokens of an answer's draft were what the model drew; how many tokens
        were drafted."""
        sequence = answer.sequence
        draft, count = self._drafts.pop(sequence, None), sequence.drafted
        sequence.drafted = 0
        if draft is None or not count:
            return 0
        record = self._record(sequence)
        self.policy.observe(record, draft.kind, drafted=count, accepted=accepted)
        return count

    def forget(self, sequence: Sequence) -> None:
        """A sequence has ended."""
        self._records.pop(sequence, None)
        self._drafts.pop(sequence, None)
        self._ngrams.forget(sequence)

    def check(self, live: Collection[int]) -> None:
        """Raise AssertionError where something is kept of a sequence that has ended; `live` are
        the ids (`id()`) of the others. Between two steps only."""
        for known in (self._records, self._drafts):
            assert all(id(sequence) in live for sequence in known), "an ended answer is remembered"
        self._ngrams.check(live)


def _along(matcher: Matcher, tokens: list[int]) -> list[Matcher]:
    """The matcher behind each token, as far as the grammar allows them and more may follow."""
    found: list[Matcher] = []
    for token in tokens:
        matcher = matcher.copy()
        try:
            matcher.advance(token)
        except ConstraintError:
            break
        if matcher.finished:
            break
        found.append(matcher)
    return found
