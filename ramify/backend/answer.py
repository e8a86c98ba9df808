"""One answer that an engine elsewhere computes: its tokens as they come, made into deltas."""

from __future__ import annotations

from collections.abc import Sequence

from ramify.backend.contract import Delta, Finish, Request, TokenLogprobs, Usage
from ramify.backend.render import Renderer
from ramify.backend.stream import TextStream


class TokenAnswer:
    """Tokens to deltas, by the rules that the embedded engine has: an end token ends the answer
    and is not part of it, a stop string ends it before itself.

    `lead` are tokens that stand before the engine's own: what a constraint must not see.
    """

    def __init__(
        self, renderer: Renderer, request: Request, index: int = 0, lead: tuple[int, ...] = ()
    ) -> None:
        sampling = request.sampling
        tail = renderer.answer_tail(request.prompt)
        self._ends = end_tokens(renderer, request)
        self._text = TextStream(
            renderer.tokenizer, sampling.stop, tail, min_tokens=sampling.min_tokens + len(lead)
        )
        self._logprobs: list[TokenLogprobs] = []
        self._index = index
        self._lead = lead
        self.tokens = 0  # that the engine gave, without the end token
        self.ended = False

    def push(self, ids: Sequence[int], logprobs: Sequence[TokenLogprobs] = ()) -> Delta | None:
        """Take tokens; what they add to the answer, or None. Nothing after the end."""
        found: list[int] = []
        texts: list[str] = []
        if self._lead:
            for token in self._lead:
                piece = self._text.push(token)
                found += piece.ids
                texts.append(piece.text)
            self._lead = ()
        for at, token in enumerate(ids):
            if self.ended:
                break
            if token in self._ends:
                self.ended = True
                break
            self.tokens += 1
            if logprobs:
                self._logprobs.append(logprobs[at])
            piece = self._text.push(token)
            found += piece.ids
            texts.append(piece.text)
            self.ended = self._text.stopped
        if not found and not any(texts):
            return None
        return self._delta(tuple(found), "".join(texts))

    def finish(self, why: Finish, usage: Usage) -> Delta:
        """The last delta. An answer that ended by itself here finishes with "stop"."""
        rest = self._text.finish()
        delta = self._delta(rest.ids, rest.text)
        finish: Finish = "stop" if self.ended else why
        return Delta(delta.ids, delta.text, finish, usage, delta.logprobs, self._index)

    def _delta(self, ids: tuple[int, ...], text: str) -> Delta:
        count = min(len(ids), len(self._logprobs))
        logprobs = tuple(self._logprobs[:count])
        del self._logprobs[:count]
        return Delta(ids, text, logprobs=logprobs, index=self._index)


def end_tokens(renderer: Renderer, request: Request) -> frozenset[int]:
    """The tokens that end the answer to a request."""
    ends = frozenset(request.sampling.stop_ids)
    if not request.sampling.ignore_end or request.constraint is not None:
        ends |= renderer.end_ids
    return ends


def lead_of(renderer: Renderer, request: Request) -> tuple[int, ...]:
    """The spaces that the model says before its answer, where a constraint must not see them."""
    if request.constraint is None:
        return ()
    tail = renderer.answer_tail(request.prompt)
    return renderer.tokenizer.encode(tail) if tail else ()
