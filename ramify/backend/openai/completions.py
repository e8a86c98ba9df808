"""Token ids to `/completions` and back, for servers that say the ids of what they write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramify.backend.answer import TokenAnswer, end_tokens, lead_of
from ramify.backend.contract import Delta, Request, TokenLogprobs
from ramify.backend.openai.choices import Choices
from ramify.backend.openai.dialect import Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts, counts_of
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

    done = False

    def __init__(self, answers: list[TokenAnswer], prompt: int, logprobs: bool) -> None:
        self._answers = answers
        self._choices = Choices(len(answers))
        self._prompt = prompt
        self._wants = logprobs

    def take(self, event: Body) -> list[Delta]:
        found = []
        for index, choice in self._choices.read(event):
            ids = choice.get("token_ids")
            if ids is None:
                if choice.get("text"):
                    raise BrokenEventError("text without its token ids")
                ids = []
            logprobs = logprobs_of(choice.get("logprobs"), ids) if self._wants else ()
            delta = self._answers[index].push(ids, logprobs)
            if delta is not None:
                found.append(delta)
        return found

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        found = []
        for index, why in self._choices.ends():
            answer = self._answers[index]
            usage = self._choices.usage(index, self._prompt, answer.tokens, first_s, total_s)
            found.append(answer.finish(why, usage))
        return found


class CompletionSteps:
    """The log-probabilities of chosen tokens behind a prompt (vLLM; see `score_by_steps`)."""

    path = "/completions"

    def __init__(self, model: str) -> None:
        self._model = model

    def send(self, ids: Sequence[int], tokens: Sequence[int]) -> Body:
        return {
            "model": self._model,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": list(tokens),
            "return_tokens_as_token_ids": True,
        }

    def read(self, answer: Body, tokens: Sequence[int]) -> tuple[dict[int, float], Counts]:
        try:
            row = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            known = {token: float(row[f"token_id:{token}"]) for token in tokens}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BrokenEventError(f"a log-probability is missing: {error}") from error
        return known, counts_of(answer.get("usage"))


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
