"""Token ids to `/completions` and back, for servers that say the ids of what they write."""

from __future__ import annotations

from typing import Any

from ramify.backend.answer import TokenAnswer, end_tokens, lead_of
from ramify.backend.contract import Delta, Finish, Request, TokenLogprobs
from ramify.backend.openai.dialect import Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts, choices_of, counts_of, finish_of
from ramify.backend.render import Renderer


class TokenWire:
    """Prompts travel as token ids; nothing is ever tokenized twice."""

    def __init__(self, model: str, dialect: Dialect, renderer: Renderer, context: int) -> None:
        self._model = model
        self._dialect = dialect
        self._renderer = renderer
        self._context = context

    def send(self, request: Request) -> tuple[str, Body]:
        lead = lead_of(self._renderer, request)
        body: Body = {"model": self._model, "prompt": [*request.prompt.ids, *lead]}
        body |= self._dialect.sampling(request.sampling)
        body |= self._dialect.constraint(request.constraint)
        body |= self._dialect.ids or {}
        room = self._context - len(body["prompt"])
        if room > 0:  # the answer is cut there, as it is by the embedded engine
            body["max_tokens"] = min(body["max_tokens"], room)
        ends = end_tokens(self._renderer, request)
        if ends and "stop_ids" in self._dialect.options:
            body[self._dialect.options["stop_ids"]] = sorted(ends)
        if request.sampling.logprobs:
            body["logprobs"] = request.sampling.logprobs
        if request.samples > 1:
            body["n"] = request.samples
        return "/completions", body

    def reader(self, request: Request) -> TokenReader:
        lead = lead_of(self._renderer, request)
        answers = [
            TokenAnswer(self._renderer, request, index, lead) for index in range(request.samples)
        ]
        return TokenReader(answers, len(request.prompt), bool(request.sampling.logprobs))


class TokenReader:
    """Reads choices that have `token_ids`."""

    def __init__(self, answers: list[TokenAnswer], prompt: int, logprobs: bool) -> None:
        self._answers = answers
        self._prompt = prompt
        self._wants = logprobs
        self._why: dict[int, Finish] = {}
        self._counts = Counts()

    def take(self, event: Body) -> list[Delta]:
        found = []
        if event.get("usage"):
            self._counts = counts_of(event["usage"])
        for choice in choices_of(event):
            index = choice.get("index", 0)
            if not isinstance(index, int) or not 0 <= index < len(self._answers):
                raise BrokenEventError(f"a choice has the index {index!r}")
            ids = choice.get("token_ids")
            if ids is None:
                if choice.get("text"):
                    raise BrokenEventError("text without its token ids")
                ids = []
            logprobs = logprobs_of(choice.get("logprobs"), ids) if self._wants else ()
            delta = self._answers[index].push(ids, logprobs)
            if delta is not None:
                found.append(delta)
            why = finish_of(choice.get("finish_reason"))
            if why is not None:
                self._why[index] = why
        return found

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        if len(self._why) < len(self._answers):
            raise BrokenEventError("the answer ends in the middle")
        found = []
        for index, answer in enumerate(self._answers):
            alone = len(self._answers) == 1
            counts = self._counts if index == 0 else Counts(cached=self._prompt)
            if not alone:  # the server's count of output tokens is of all samples together
                counts = Counts(counts.prompt, counts.cached)
            usage = counts.usage(self._prompt, answer.tokens, first_s, total_s)
            found.append(answer.finish(self._why[index], usage))
        return found


def logprobs_of(found: Any, ids: list[int]) -> tuple[TokenLogprobs, ...]:
    """The `logprobs` of a completion with tokens spelled "token_id:N"."""
    if not found:
        if ids:
            raise BrokenEventError("log-probabilities were asked for and are missing")
        return ()
    values, tops = found.get("token_logprobs") or [], found.get("top_logprobs") or []
    if len(values) != len(ids):
        raise BrokenEventError("there are not as many log-probabilities as tokens")
    read = []
    for at, (token, value) in enumerate(zip(ids, values, strict=True)):
        pairs = (tops[at] or {}) if at < len(tops) else {}
        top = [(_token(name), float(number)) for name, number in pairs.items()]
        top.sort(key=lambda pair: -pair[1])
        read.append(TokenLogprobs(token, float(value), tuple(top)))
    return tuple(read)


def _token(name: str) -> int:
    kind, _, number = name.partition(":")
    if kind != "token_id" or not number.isdigit():
        raise BrokenEventError(f"{name!r} does not name a token id")
    return int(number)
