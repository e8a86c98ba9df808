"""One branch of an answer: its sequence, its text, and what the sampler must know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ramify.backend.contract import Delta, Finish, TokenLogprobs
from ramify.backend.forks import MAIN, Stretch
from ramify.backend.radix.sampler import Choice, Row
from ramify.backend.radix.sequence import Sequence
from ramify.backend.stream import TextStream

if TYPE_CHECKING:
    from ramify.backend.radix.jobs import Generation


@dataclass(slots=True, eq=False)
class Taken:
    """What came of a token: whether the branch is complete, and a branch that came off it."""

    done: bool = False
    child: Answer | None = None


GOES_ON = Taken()


class Answer:
    """A branch of a generation; an answer that does not fork is its main branch alone."""

    def __init__(
        self,
        job: Generation,
        sequence: Sequence,
        row: Row,
        text: TextStream,
        stretch: Stretch | None = None,
        parent: Answer | None = None,
    ) -> None:
        """`stretch`: where the branch stands, if it may fork at all."""
        self.job = job
        self.sequence = sequence
        self.row = row
        self.text = text
        self.parent = parent
        self.ended = False
        self.forked_at = sequence.length - 2 if parent is not None else 0  # tokens that were shared
        self._branch = MAIN if stretch is None else stretch.branch
        self._stretch = stretch
        self._start = sequence.length  # of this stretch
        self._chars = 0  # of this stretch's text
        self._logprobs: list[TokenLogprobs] = []  # of tokens that are not given out yet

    @property
    def floor(self) -> int:
        """How many tokens of its path stay when it is freed: finished parents stay no longer."""
        answer = self
        while (parent := answer.parent) is not None and parent.ended and parent.parent is not None:
            answer = parent
        return answer.forked_at

    @property
    def left(self) -> int:
        """The most tokens that may still come in this stretch."""
        return self.row.sampling.max_tokens - self.row.step

    def sampling_row(self) -> Row:
        """What the sampler must know now."""
        if self.row.penalized:
            self.row.answer = self.sequence.tokens[self._start : self.sequence.length]
        return self.row

    def take(self, choice: Choice) -> Taken:
        """Go on by a token.

        Raises ConstraintError where the grammar does not know the token.
        """
        token, row, rule = choice.token, self.row, self.job.rule
        self.job.begin()
        if rule is not None and token == rule.fork:
            return self._fork()
        if token in row.ends:
            return self._finish("stop", stop_id=token)
        row.step += 1
        if choice.logprobs is not None:
            self._logprobs.append(choice.logprobs)
        if row.matcher is not None:
            row.matcher.advance(token)
        self.sequence.append(token)
        piece = self.text.push(token)
        complete = row.matcher is not None and row.matcher.finished
        if self.text.stopped or complete:
            return self._finish("stop", piece.ids, piece.text)
        if row.step >= row.sampling.max_tokens:
            return self._finish("length", piece.ids, piece.text)
        if piece.ids:
            self._give(Delta(piece.ids, piece.text, logprobs=self._release(len(piece.ids))))
        return GOES_ON

    def _finish(
        self,
        why: Finish,
        ids: tuple[int, ...] = (),
        text: str = "",
        stop_id: int | None = None,
    ) -> Taken:
        rest = self.text.finish()
        ids, text = ids + rest.ids, text + rest.text
        self.ended = True
        output = self.row.step + (self._stretch.own if self._stretch is not None else 0)
        usage = self.job.usage_of(self.sequence, output, main=self.parent is None)
        logprobs = self._release(len(ids))
        self._give(Delta(ids, text, why, usage, logprobs, stop_id=stop_id))
        return Taken(done=True)

    def _fork(self) -> Taken:
        """End this stretch behind the token that forks; a child comes off."""
        job, stretch = self.job, self._stretch
        assert stretch is not None
        rule = stretch.rule
        rest = self.text.finish()
        parent, below = stretch.fork(self.row.step + 1, self._chars + len(rest.text))
        delta = Delta((*rest.ids, rule.fork), rest.text, logprobs=self._release(len(rest.ids)))
        self.sequence.append(rule.fork)
        if parent is None:
            self.ended = True
            output = stretch.own + self.row.step + 1
            usage = job.usage_of(self.sequence, output, main=self.parent is None)
            self._give(replace(delta, finish="length", usage=usage))
            return Taken(done=True)
        self._give(delta)
        child = None
        if below is not None:
            sequence = self.sequence.fork(job)
            sequence.append(rule.child)
            child = job.answer(sequence, below, self)
            child._give(Delta((rule.child,)))
        self._stretch, self._start, self._chars = parent, self.sequence.length, 0
        self.row, self.text = job.row(self.sequence, parent), job.text(parent)
        return Taken(child=child)

    def _give(self, delta: Delta) -> None:
        self._chars += len(delta.text)
        self.job.sink(delta if self._branch is MAIN else replace(delta, branch=self._branch))

    def _release(self, count: int) -> tuple[TokenLogprobs, ...]:
        found = tuple(self._logprobs[:count])
        del self._logprobs[:count]
        return found
