"""Token ids to llama.cpp's own `/completion` and back: its OpenAI form does not say ids.

In a stream the server leaves out the ids of tokens that end within a character; it only counts
them. Such an answer is asked for again in one piece, where all ids are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

from ramify.backend.answer import TokenAnswer, lead_of
from ramify.backend.contract import Delta, Finish, Request, TokenLogprobs
from ramify.backend.openai.dialect import Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts, LostTokensError
from ramify.backend.render import Renderer


class LlamaWire:
    """Prompts travel as token ids to the root of the server."""

    def __init__(self, dialect: Dialect, renderer: Renderer, context: int) -> None:
        self._dialect = dialect
        self._renderer = renderer
        self._context = context

    def send(self, request: Request) -> tuple[str, Body]:
        lead = lead_of(self._renderer, request)
        body: Body = {"prompt": [*request.prompt.ids, *lead], "return_tokens": True}
        # it does not know stop ids: the answer is ended here, and the stream closed
        body |= self._dialect.sampling(replace(request.sampling, stop_ids=()))
        body["n_predict"] = body.pop("max_tokens")
        room = self._context - len(body["prompt"])
        if room > 0:
            body["n_predict"] = min(body["n_predict"], room)
        body |= self._dialect.constraint(request.constraint)
        body["cache_prompt"] = True
        if request.sampling.logprobs:
            body["n_probs"] = request.sampling.logprobs
        body["timings_per_token"] = bool(request.sampling.stop_ids)  # it has the cached tokens
        return "../completion", body

    def reader(self, request: Request) -> LlamaReader:
        lead = lead_of(self._renderer, request)
        return LlamaReader(
            TokenAnswer(self._renderer, request, 0, lead),
            len(request.prompt),
            logprobs=bool(request.sampling.logprobs),
            own_end=bool(request.sampling.stop_ids),
        )


class LlamaReader:
    """Reads events with `content`, `tokens` and, in the last one, `stop`."""

    def __init__(self, answer: TokenAnswer, prompt: int, *, logprobs: bool, own_end: bool) -> None:
        self._answer = answer
        self._prompt = prompt
        self._wants = logprobs
        self._own_end = own_end  # whether tokens end it that the server does not know of
        self._seen = 0  # tokens whose ids were told
        self._why: Finish | None = None
        self._counts = Counts()

    def take(self, event: Body) -> list[Delta]:
        if "error" in event:
            raise BrokenEventError(f"the server says: {str(event['error'])[:200]}")
        ids = event.get("tokens")
        if ids is None:
            if event.get("content"):
                raise BrokenEventError("text without its token ids")
            ids = []
        self._seen += len(ids)
        if event.get("tokens_predicted", self._seen) > self._seen:
            raise LostTokensError("the ids of some tokens are missing")
        rows = _rows(event.get("completion_probabilities") or (), ids) if self._wants else ()
        delta = self._answer.push(ids, rows)
        timings: Mapping[str, Any] = event.get("timings") or {}
        if isinstance(timings.get("cache_n"), int):
            self._counts = Counts(None, timings["cache_n"])
        if event.get("stop"):
            cut = event.get("stop_type") == "limit" or event.get("truncated")
            self._why = "length" if cut else "stop"
        elif self._answer.ended:
            self._why = "stop"
        return [] if delta is None else [delta]

    @property
    def done(self) -> bool:
        return self._answer.ended and self._own_end

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        if self._why is None:
            raise BrokenEventError("the answer ends in the middle")
        usage = self._counts.usage(self._prompt, self._answer.tokens, first_s, total_s)
        return [self._answer.finish(self._why, usage)]


def _rows(found: Sequence[Mapping[str, Any]], ids: Sequence[int]) -> tuple[TokenLogprobs, ...]:
    """One for each id, in order. The server has none for tokens that end within a character:
    their log-probability is not a number."""
    read = []
    at = 0
    for token in ids:
        if at < len(found) and found[at].get("id") == token:
            read.append(_logprobs(found[at]))
            at += 1
        else:
            read.append(TokenLogprobs(token, nan))
    if at < len(found):
        raise BrokenEventError("log-probabilities of tokens that are not in the answer")
    return tuple(read)


def _logprobs(found: Mapping[str, Any]) -> TokenLogprobs:
    top = [(int(one["id"]), float(one["logprob"])) for one in found.get("top_logprobs", ())]
    return TokenLogprobs(int(found["id"]), float(found["logprob"]), tuple(top))
