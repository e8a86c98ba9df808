"""Token ids to SGLang's own `/generate` and back: its OpenAI form does not say ids.

Source: `GenerateReqInput` and `TokenizerManager` of SGLang 0.5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ramify.backend.answer import TokenAnswer, end_tokens, lead_of
from ramify.backend.contract import Delta, Finish, Request, TokenLogprobs
from ramify.backend.openai.dialect import SGLANG_TOKENS, Dialect
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Body, Counts
from ramify.backend.render import Renderer

PATH = "../generate"


class SGLangWire:
    """Prompts travel as token ids to the root of the server."""

    def __init__(self, renderer: Renderer, context: int, dialect: Dialect = SGLANG_TOKENS) -> None:
        self._dialect = dialect
        self._renderer = renderer
        self._context = context

    def send(self, request: Request) -> tuple[str, Body]:
        ids = [*request.prompt.ids, *lead_of(self._renderer, request)]
        wanted = self._dialect.sampling(request.sampling)
        wanted["max_new_tokens"] = wanted.pop("max_tokens")
        if self._context > len(ids):
            wanted["max_new_tokens"] = min(wanted["max_new_tokens"], self._context - len(ids))
        if "seed" in wanted:
            wanted["sampling_seed"] = wanted.pop("seed")
        wanted |= self._dialect.constraint(request.constraint)
        ends = end_tokens(self._renderer, request)
        if ends:
            wanted["stop_token_ids"] = sorted(ends)
        body: Body = {"input_ids": ids, "sampling_params": wanted}
        if request.sampling.logprobs:
            body |= {"return_logprob": True, "top_logprobs_num": request.sampling.logprobs}
        return PATH, body

    def reader(self, request: Request) -> SGLangReader:
        lead = lead_of(self._renderer, request)
        answer = TokenAnswer(self._renderer, request, 0, lead)
        return SGLangReader(answer, len(request.prompt), bool(request.sampling.logprobs))


class SGLangReader:
    """Reads events with `output_ids` and `meta_info`.

    As the server was started, the ids of an event are all so far or only the new ones; the count
    of all so far tells which of them are new.
    """

    done = False

    def __init__(self, answer: TokenAnswer, prompt: int, logprobs: bool) -> None:
        self._answer = answer
        self._prompt = prompt
        self._wants = logprobs
        self._seen = 0
        self._why: Finish | None = None
        self._counts = Counts()

    def take(self, event: Body) -> list[Delta]:
        if "error" in event:
            raise BrokenEventError(f"the server says: {str(event['error'])[:200]}")
        about = event.get("meta_info")
        ids = event.get("output_ids")
        if not isinstance(about, dict) or not isinstance(ids, list):
            raise BrokenEventError(f"no output_ids in {str(event)[:80]!r}")
        total = about.get("completion_tokens", len(ids))
        new = total - self._seen
        if not isinstance(total, int) or not 0 <= new <= len(ids):
            raise BrokenEventError(f"{len(ids)} ids where {new!r} are new")
        ids = ids[len(ids) - new :]
        self._seen = total
        rows = _logprobs(about, ids) if self._wants else ()
        delta = self._answer.push(ids, rows)
        self._end(about)
        return [] if delta is None else [delta]

    def _end(self, about: Mapping[str, Any]) -> None:
        reason = about.get("finish_reason")
        if not reason:
            return
        kind = reason.get("type") if isinstance(reason, dict) else reason
        if kind == "abort":
            said = reason.get("message", "") if isinstance(reason, dict) else ""
            raise BrokenEventError(f"the server ended the answer: abort {said}"[:200])
        self._why = "length" if kind == "length" else "stop"
        self._counts = Counts(about.get("prompt_tokens"), about.get("cached_tokens"))

    def end(self, first_s: float, total_s: float) -> list[Delta]:
        if self._why is None:
            raise BrokenEventError("the answer ends in the middle")
        usage = self._counts.usage(self._prompt, self._answer.tokens, first_s, total_s)
        return [self._answer.finish(self._why, usage)]


class SGLangSteps:
    """The log-probabilities of chosen tokens behind a prompt (see `score_by_steps`)."""

    path = PATH

    def send(self, ids: Sequence[int], tokens: Sequence[int]) -> Body:
        return {
            "input_ids": list(ids),
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "token_ids_logprob": list(tokens),
        }

    def read(self, answer: Body, tokens: Sequence[int]) -> tuple[dict[int, float], Counts]:
        try:
            about = answer["meta_info"]
            found = {int(row[1]): float(row[0]) for row in about["output_token_ids_logprobs"][0]}
            known = {token: found[token] for token in tokens}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BrokenEventError(f"a log-probability is missing: {error}") from error
        return known, Counts(about.get("prompt_tokens"), about.get("cached_tokens"))


def _logprobs(about: Mapping[str, Any], ids: Sequence[int]) -> tuple[TokenLogprobs, ...]:
    """Of the new ids: rows of (log-probability, id, text or nothing)."""
    if not ids:
        return ()
    values = (about.get("output_token_logprobs") or [])[-len(ids) :]
    tops = (about.get("output_top_logprobs") or [])[-len(ids) :]
    if len(values) != len(ids) or len(tops) != len(ids):
        raise BrokenEventError("there are not as many log-probabilities as tokens")
    return tuple(
        TokenLogprobs(token, float(value[0]), tuple((int(t[1]), float(t[0])) for t in top or ()))
        for token, value, top in zip(ids, values, tops, strict=True)
    )
