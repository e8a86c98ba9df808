"""What a request asks of the engine: one answer, scores of continuations, or a warm prefix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ramify.backend.contract import (
    Delta,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.forks import Stretch
from ramify.backend.radix.answer import Answer
from ramify.backend.radix.sampler import Matcher, Row
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import IntArray
from ramify.backend.radix.vectors import FloatArray, vectors_of
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
        self.vectors: dict[int, FloatArray] = {}  # that the prompt holds, by their numbers
        self.later: list[Sequence] = []  # sequences that come when others have ended

    def usage(self, prompt: int, computed: int, output: int) -> Usage:
        """The account of this job, up to now."""
        total = perf_counter() - self.begun
        return Usage(prompt, max(0, prompt - computed), output, self.first or total, total)


class Generation(Job):
    """One answer, token by token; with a `ForkRule`, a tree of branches."""

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
        room = min(room, request.sampling.max_tokens)
        sampling = replace(
            request.sampling,
            seed=seed,
            max_tokens=room,
            min_tokens=min(request.sampling.min_tokens, room),
        )
        self.rule = request.fork
        self.held = 0  # KV of finished branches that would be held until all have finished
        ends = frozenset(sampling.stop_ids)
        if not sampling.ignore_end or matcher is not None:  # a grammar ends with an end token
            ends |= end_ids
        self._ends = tuple(ends if self.rule is None else ends | {self.rule.fork})
        self._text = text
        self.vectors = vectors_of(request.prompt)
        prompt = token_array(request.prompt.ids)
        sequence = Sequence.of(
            self, prompt, limit=len(prompt) + room, prompt=len(prompt),
            wanted=len(prompt) - 1, blocks=request.prompt.blocks,
        )  # fmt: skip
        sequence.promise = request.promise
        row = Row(
            sampling, seed, matcher, vocabulary=vocabulary, ends=self._ends, bans=request.bans,
            prompt=prompt,
        )  # fmt: skip
        stretch = None
        if self.rule is not None:
            stretch = Stretch(self.rule, sampling)
            row.bans = stretch.bans
        self.main = Answer(self, sequence, row, text, stretch)
        self.answers = {sequence: self.main}
        self.live.append(sequence)

    @property
    def sequence(self) -> Sequence:
        """Of the main branch."""
        return self.main.sequence

    def answer(self, sequence: Sequence, stretch: Stretch, parent: Answer) -> Answer:
        """A new branch."""
        row, text = self.row(sequence, stretch), self.text(stretch)
        found = self.answers[sequence] = Answer(self, sequence, row, text, stretch, parent)
        self.live.append(sequence)
        return found

    def row(self, sequence: Sequence, stretch: Stretch) -> Row:
        """What the sampler must know of a new stretch."""
        sampling = stretch.own_sampling()
        return Row(
            sampling, sampling.seed or 0, ends=self._ends, bans=stretch.bans,
            prompt=sequence.known.copy(),
        )  # fmt: skip

    def text(self, stretch: Stretch) -> TextStream:
        """The text of a new stretch."""
        return self._text.again(min_tokens=stretch.own_sampling().min_tokens)

    def begin(self) -> None:
        """A token has come: note when the first did."""
        self.first = self.first or perf_counter() - self.begun

    def usage_of(self, sequence: Sequence, output: int, *, main: bool) -> Usage:
        """The account of a branch, up to now; the prompt is in the main branch's."""
        if not main:
            return self.usage(0, 0, output)
        return self.usage(sequence.prompt, sequence.computed_in_all, output)


@dataclass(slots=True, eq=False)
class Scored:
    """The tokens behind `first` and later positions of a sequence, and their log-probabilities."""

    targets: IntArray
    first: int
    found: list[float] = field(default_factory=list)


class Scoring(Job):
    """Log-probabilities of continuations: one sequence each, siblings below the prompt; and of the
    prompt's own tokens, which come first, so that the continuations find the prompt computed."""

    def __init__(self, request: ScoreRequest, sink: Sink) -> None:
        super().__init__(request.priority, request.salt, request.label, sink)
        self.vectors = vectors_of(request.prompt)
        self._prompt = len(request.prompt)
        self._scored: dict[Sequence, Scored] = {}
        self._found = [Scored(token_array(ids), self._prompt - 1) for ids in request.continuations]
        self._computed = 0
        self.start = request.prompt_from
        self.own: Sequence | None = None
        self._own = Scored(np.empty(0, np.int64), 0)
        for ids, scored in zip(request.continuations, self._found, strict=True):
            if ids:
                tokens = token_array(request.prompt.ids + ids[:-1])
                sequence = self._sequence(request, tokens, self._prompt - 1)
                self._scored[sequence] = scored
                self.live.append(sequence)
        if self.start is not None and self.start < self._prompt:
            tokens = token_array(request.prompt.ids)
            self.own = self._sequence(request, tokens, self.start - 1)
            self._own = Scored(tokens[self.start :], self.start - 1)
            self._scored[self.own] = self._own
            self.later, self.live = self.live, [self.own]
        # Each continuation computes the last prompt token for itself: it counts once.
        self._once = int(self.own is None or bool(self.later))

    def _sequence(self, request: ScoreRequest, tokens: IntArray, wanted: int) -> Sequence:
        sequence = Sequence.of(
            self, tokens, limit=len(tokens), prompt=self._prompt, wanted=wanted,
            blocks=request.prompt.blocks,
        )  # fmt: skip
        sequence.promise = request.promise
        return sequence

    def know(self, values: list[float]) -> None:
        """The first log-probabilities of the prompt's own tokens are known already."""
        assert self.own is not None
        values = values[: len(self._own.targets)]
        self._own.found = values
        self.own.wanted += len(values)
        if len(values) == len(self._own.targets):
            self.live, self.later = self.later, []

    def targets(self, sequence: Sequence, start: int, stop: int) -> IntArray:
        """The tokens that follow positions `start..stop-1`, as far as they are asked for."""
        scored = self._scored[sequence]
        return scored.targets[start - scored.first : stop - scored.first]

    def take(self, sequence: Sequence, logprobs: list[float], stop: int) -> bool:
        """Note the scores of rows up to `stop`; True when the sequence is complete."""
        scored = self._scored[sequence]
        scored.found.extend(logprobs)
        sequence.wanted = stop
        if len(scored.found) < len(scored.targets):
            return False
        computed = sequence.computed_in_all
        if sequence is self.own:
            self._computed, self._once = computed, 0
        else:
            self._computed += max(0, computed - 1)
        return True

    def note(self, logprobs: NDArray[np.float32]) -> None:
        """Write what was found of the prompt into the slots of its tokens, which the tree holds."""
        assert self.own is not None and self.start is not None
        slots = self.own.slots[self.start : self.own.shared]
        logprobs[slots] = self._own.found[: len(slots)]

    def finish(self) -> None:
        """Give out the scores."""
        read = sum(len(scored.targets) for scored in self._found)
        usage = self.usage(self._prompt, self._computed + self._once, 0) + Usage(prompt_tokens=read)
        found = tuple(tuple(scored.found) for scored in self._found)
        self.sink(Scores(found, usage, tuple(self._own.found)))


class Warming(Job):
    """A prompt computed into the cache."""

    def __init__(self, prompt: TokenPrompt, salt: str, priority: float, sink: Sink) -> None:
        super().__init__(priority, salt, "", sink)
        self.vectors = vectors_of(prompt)
        ids = token_array(prompt.ids)
        self.sequence = Sequence.of(
            self, ids, limit=len(ids), prompt=len(ids), wanted=len(ids), blocks=prompt.blocks
        )
        self.live.append(self.sequence)

    def finish(self) -> None:
        """Give out the account."""
        self.sink(self.usage(self.sequence.prompt, self.sequence.computed_in_all, 0))
