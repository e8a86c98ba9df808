"""Token ids to llama.cpp's own `/completion` and back: its OpenAI form does not say ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ramify.backend.answer import TokenAnswer, lead_of
from ramify.backend.contract import Delta, Finish, Request, TokenLogprobs
from ramify.backend.openai.dialect import Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts
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
        body |= self._dialect.sampling(request.sampling)
        body["n_predict"] = body.pop("max_tokens")
        room = self._context - len(body["prompt"])
        if room > 0:
            body["n_predict"] = min(body["n_predict"], room)
        body |= self._dialect.constraint(request.constraint)
        body["cache_prompt"] = True
        if request.sampling.logprobs:
            body["n_probs"] = request.sampling.logprobs
        return "../completion", body

    def reader(self, request: Request) -> LlamaReader:
        lead = lead_of(self._renderer, request)
        return LlamaReader(
            TokenAnswer(self._renderer, request, 0, lead),
            len(request.prompt),
            bool(request.sampling.logprobs),
        )


class LlamaReader:
    """Reads events with `content`, `tokens` and, in the last one, `stop`."""

    def __init__(self, answer: TokenAnswer, prompt: int, logprobs: bool) -> None:
        self._answer = answer
        self._prompt = prompt
        self._wants = logprobs
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
        probabilities = event.get("completion_probabilities") or []
        logprobs: tuple[TokenLogprobs, ...] = ()
        if self._wants and len(probabilities) == len(ids):
            logprobs = tuple(_logprobs(one) for one in probabilities)
        delta = self._answer.push(ids, logprobs)
        if event.get("stop"):
            cut = event.get("stop_type") == "limit" or event.get("truncated")
            self._why = "length" if cut else "stop"
            timings: Mapping[str, Any] = event.get("timings") or {}
            cached = timings.get("cache_n")
            self._counts = Counts(None, cached if isinstance(cached, int) else None)
        return [] if delta is None else [delta]

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        if self._why is None:
            raise BrokenEventError("the answer ends in the middle")
        usage = self._counts.usage(self._prompt, self._answer.tokens, first_s, total_s)
        return [self._answer.finish(self._why, usage)]


def _logprobs(found: Mapping[str, Any]) -> TokenLogprobs:
    top = [(int(one["id"]), float(one["logprob"])) for one in found.get("top_logprobs", ())]
    return TokenLogprobs(int(found["id"]), float(found["logprob"]), tuple(top))
