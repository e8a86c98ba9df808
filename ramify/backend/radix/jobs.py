"""What a request asks of the engine: one answer, scores of continuations, or a warm prefix."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from ramify.backend.contract import (
    Delta,
    Finish,
    Request,
    ScoreRequest,
    Scores,
    TokenLogprobs,
    TokenPrompt,
    Usage,
)
from ramify.backend.radix.sampler import Choice, Matcher, Row
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import IntArray
from ramify.backend.stream import TextStream

Sink = Callable[[Delta | Scores | Usage | BaseException], None]


def token_array(ids: tuple[int, ...]) -> IntArray:
    """Token ids as an array."""
    return np.array(ids, np.int64)


class Job:
    """A request in the engine. What comes out goes to `sink`, an error in place of the rest."""

    def __init__(self, priority: float, salt: str, label: str, sink: Sink) -> None:
        self.priority = priority
        self.salt = salt
        self.label = label
        self.sink = sink
        self.begun = perf_counter()
        self.first = 0.0  # seconds to the first token
        self.live: list[Sequence] = []  # sequences that are waiting or running

    def usage(self, prompt: int, computed: int, output: int) -> Usage:
        """The account of this job, up to now."""
        total = perf_counter() - self.begun
        return Usage(prompt, max(0, prompt - computed), output, self.first or total, total)


class Generation(Job):
    """One answer, token by token."""

    def __init__(
        self,
        request: Request,
        sink: Sink,
        text: TextStream,
        *,
        room: int,
        seed: int,
        end_ids: frozenset[int],
        matcher: Matcher | None = None,
        vocabulary: int = 0,
    ) -> None:
        """`room`: the most tokens the answer may have; `end_ids`: the model's end tokens;
        `vocabulary`: the tokens that the matcher's mask speaks of."""
        super().__init__(request.priority, request.salt, request.label, sink)
        sampling = request.sampling
        self._text = text
        self._room = min(room, sampling.max_tokens)
        self._ends = frozenset(sampling.stop_ids)
        if not sampling.ignore_end or matcher is not None:  # a grammar ends with an end token
            self._ends |= end_ids
        self._logprobs: list[TokenLogprobs] = []  # of tokens that are not given out yet
        prompt = token_array(request.prompt.ids)
        self.sequence = Sequence.of(
            self, prompt, limit=len(prompt) + self._room, prompt=len(prompt),
            wanted=len(prompt) - 1, blocks=request.prompt.blocks,
        )  # fmt: skip
        self.live.append(self.sequence)
        ends = tuple(self._ends)
        self.row = Row(sampling, seed, matcher, vocabulary=vocabulary, ends=ends, prompt=prompt)

    def sampling_row(self) -> Row:
        """What the sampler must know now."""
        if self.row.penalized:
            sequence = self.sequence
            self.row.answer = sequence.tokens[sequence.prompt : sequence.length]
        return self.row

    def take(self, choice: Choice) -> bool:
        """Go on by a token; True when the answer is complete.

        Raises ConstraintError where the grammar does not know the token.
        """
        token, row = choice.token, self.row
        self.first = self.first or perf_counter() - self.begun
        if token in self._ends:
            self._finish("stop")
            return True
        row.step += 1
        if choice.logprobs is not None:
            self._logprobs.append(choice.logprobs)
        if row.matcher is not None:
            row.matcher.advance(token)
        self.sequence.append(token)
        piece = self._text.push(token)
        complete = row.matcher is not None and row.matcher.finished
        if self._text.stopped or complete:
            self._finish("stop", piece.ids, piece.text)
        elif row.step >= self._room:
            self._finish("length", piece.ids, piece.text)
        else:
            if piece.ids:
                self.sink(Delta(piece.ids, piece.text, logprobs=self._release(len(piece.ids))))
            return False
        return True

    def _finish(self, why: Finish, ids: tuple[int, ...] = (), text: str = "") -> None:
        rest = self._text.finish()
        ids, text = ids + rest.ids, text + rest.text
        usage = self.usage(self.sequence.prompt, self.sequence.computed_in_all, self.row.step)
        self.sink(Delta(ids, text, why, usage, self._release(len(ids))))

    def _release(self, count: int) -> tuple[TokenLogprobs, ...]:
        found = tuple(self._logprobs[:count])
        del self._logprobs[:count]
        return found


class Scoring(Job):
    """Log-probabilities of continuations: one sequence each, siblings below the prompt."""

    def __init__(self, request: ScoreRequest, sink: Sink) -> None:
        super().__init__(request.priority, request.salt, request.label, sink)
        self._prompt = len(request.prompt)
        self._targets: dict[Sequence, IntArray] = {}
        self._found: list[list[float]] = [[] for _ in request.continuations]
        self._index: dict[Sequence, int] = {}
        self._computed = 0
        for i, continuation in enumerate(request.continuations):
            if not continuation:
                continue
            tokens = token_array(request.prompt.ids + continuation[:-1])
            sequence = Sequence.of(
                self, tokens, limit=len(tokens), prompt=self._prompt, wanted=self._prompt - 1,
                blocks=request.prompt.blocks,
            )  # fmt: skip
            self._targets[sequence] = token_array(continuation)
            self._index[sequence] = i
            self.live.append(sequence)

    def targets(self, sequence: Sequence, start: int, stop: int) -> IntArray:
        """The tokens that follow positions `start..stop-1`."""
        first = self._prompt - 1
        return self._targets[sequence][start - first : stop - first]

    def take(self, sequence: Sequence, logprobs: list[float], stop: int) -> bool:
        """Note the scores of rows up to `stop`; True when the sequence is complete."""
        found = self._found[self._index[sequence]]
        found.extend(logprobs)
        sequence.wanted = stop
        if len(found) < len(self._targets[sequence]):
            return False
        self._computed += max(0, sequence.computed_in_all - 1)
        return True

    def finish(self) -> None:
        """Give out the scores."""
        read = sum(map(len, self._found))
        # Each sequence computes the last prompt token for itself; it counts once.
        usage = self.usage(self._prompt, self._computed + 1, 0)
        usage = usage + Usage(prompt_tokens=read)
        self.sink(Scores(tuple(map(tuple, self._found)), usage))


class Warming(Job):
    """A prompt computed into the cache."""

    def __init__(self, prompt: TokenPrompt, salt: str, priority: float, sink: Sink) -> None:
        super().__init__(priority, salt, "", sink)
        ids = token_array(prompt.ids)
        self.sequence = Sequence.of(
            self, ids, limit=len(ids), prompt=len(ids), wanted=len(ids), blocks=prompt.blocks
        )
        self.live.append(self.sequence)

    def finish(self) -> None:
        """Give out the account."""
        self.sink(self.usage(self.sequence.prompt, self.sequence.computed_in_all, 0))
