"""What the fake backend says: replies that were given to it, or words drawn from a number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from ramify.backend.contract import NO_BANS, Bans, Finish, TokenLogprobs, TokenPrompt
from ramify.backend.fake.regex_sampler import sample_regex
from ramify.backend.fake.schema_sampler import sample_schema
from ramify.backend.word_tokenizer import WordTokenizer
from ramify.errors import BackendError, CapabilityError
from ramify.ir.sampling import Constraint, Sampling

Reply = str | Callable[[str], str] | Mapping[str, str] | Sequence[str]

_MASK = (1 << 64) - 1
_WORDS = re.findall(
    r"\w+",
    "the old harbour was built on trade and fish by men who came from far away to live near "
    "cold water where ships bring salt wood iron cloth and news of other towns each long "
    "winter after snow has gone boats go out again and many small houses stand along its main "
    "street with bread meat beer and songs for those that work",
)


def draw(key: int) -> int:
    """The next number of a sequence (Knuth's MMIX generator): enough to look like chance."""
    return (key * 6364136223846793005 + 1442695040888963407) & _MASK


def words(key: int) -> Iterator[str]:
    """Words without end, each with a space before it."""
    while True:
        key = draw(key)
        yield " " + _WORDS[(key >> 33) % len(_WORDS)]


def continuation_logprobs(prompt: tuple[int, ...], ids: tuple[int, ...]) -> tuple[float, ...]:
    """A log-probability for each token of a continuation, drawn from all tokens before it."""
    key = hash(prompt)
    found = []
    for token in ids:
        key = draw(key ^ hash(token))
        found.append(-0.01 - (key >> 40) / (1 << 22))
    return tuple(found)


def prompt_logprobs(prompt: tuple[int, ...], start: int | None) -> tuple[float, ...]:
    """A log-probability for each token of a prompt from `start` on, drawn from those before it."""
    if start is None:
        return ()
    return continuation_logprobs(prompt[:1], prompt[1:])[start - 1 :]


@dataclass(frozen=True, slots=True)
class Written:
    """A whole answer."""

    ids: tuple[int, ...]
    text: str
    finish: Finish
    logprobs: tuple[TokenLogprobs, ...] = ()
    stop_id: int | None = None


class Replies:
    """Answers that a test wrote down: a text, a function, a list, or by a part of the prompt."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._next = 0

    @property
    def fixed(self) -> bool:
        """Whether asking changes nothing: one text, or a mapping."""
        return isinstance(self._reply, (str, Mapping))

    def among(self, prompt: str) -> list[str]:
        """All fixed replies that may be meant in a prompt."""
        reply = self._reply
        if isinstance(reply, str):
            return [reply]
        if isinstance(reply, Mapping):
            return [answer for key, answer in reply.items() if key in prompt]
        return []

    def to(self, prompt: str) -> str | None:
        """The reply to a prompt; None where a mapping has none.

        One text answers everything. A mapping answers by the key that stands last in the prompt.
        A list answers in order of arrival; BackendError once it is used up.
        """
        reply = self._reply
        if isinstance(reply, str):
            return reply
        if isinstance(reply, Mapping):
            found = [(prompt.rfind(key), answer) for key, answer in reply.items() if key in prompt]
            return max(found, key=lambda pair: pair[0])[1] if found else None
        if callable(reply):
            return reply(prompt)
        if self._next == len(reply):
            raise BackendError(
                f"the fake backend has no reply left after {self._next}.",
                hint="Give it more replies, or a function.",
            )
        self._next += 1
        return reply[self._next - 1]


class Writer:
    """Writes answers to prompts within the limits of a request."""

    def __init__(self, tokenizer: WordTokenizer, replies: Replies | None) -> None:
        self._tokenizer = tokenizer
        self._replies = replies

    def write(
        self,
        prompt: TokenPrompt,
        sampling: Sampling,
        constraint: Constraint | None,
        bans: Bans = NO_BANS,
    ) -> Written:
        """The answer. Raises ConstraintError, or CapabilityError for a grammar.

        Where the prompt ends with a stop token, and with the beginning of a fixed reply up to it,
        the answer is what follows in that reply: the request goes on behind a stop.
        """
        seed = (sampling.seed or 0) if sampling.temperature > 0 else -1
        key = hash((prompt.ids, seed)) & _MASK
        reply = None
        if self._replies is not None:
            reply = self._replies.to(self._tokenizer.spell(prompt.ids))
        if constraint is not None:
            ids = self._tokenizer.encode(constrained(constraint, key, reply))
            complete = len(ids) <= sampling.max_tokens
        else:
            rest = self._rest(prompt.ids, sampling.stop_ids)
            ids = self._free(key, reply, sampling) if rest is None else rest
            ids = tuple(i for i in ids if i not in bans.always)
            while ids and ids[0] in bans.first:
                ids = ids[1:]
            complete = len(ids) < sampling.max_tokens
        ids, stopped, stop_id = self._stop(ids[: sampling.max_tokens], sampling)
        finish: Finish = "stop" if complete or stopped else "length"
        logprobs = self._logprobs(prompt.ids, ids, sampling.logprobs)
        return Written(ids, self._tokenizer.decode(ids), finish, logprobs, stop_id)

    def score(
        self, prompt: TokenPrompt, continuations: tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[float, ...], ...]:
        """A log-probability for each token; the continuation that is the reply has the best."""
        reply = None
        if self._replies is not None and self._replies.fixed:
            reply = self._replies.to(self._tokenizer.spell(prompt.ids))
        return tuple(
            (-0.001,) * len(ids)
            if reply is not None and self._tokenizer.decode(ids).strip() == reply.strip()
            else continuation_logprobs(prompt.ids, ids)
            for ids in continuations
        )

    def _free(self, key: int, reply: str | None, sampling: Sampling) -> tuple[int, ...]:
        more = words(key)
        if reply is None:
            reply = "".join(islice(more, 4 + key % 13))[1:]
        ids = self._tokenizer.encode(reply)
        least = sampling.max_tokens if sampling.ignore_end else sampling.min_tokens
        while len(ids) < least:
            ids += self._tokenizer.encode(next(more))
        return ids

    def _rest(self, prompt: tuple[int, ...], stops: tuple[int, ...]) -> tuple[int, ...] | None:
        """What follows in a fixed reply whose beginning, up to a stop token, ends the prompt."""
        if self._replies is None or prompt[-1] not in stops:
            return None
        for reply in self._replies.among(self._tokenizer.spell(prompt)):
            ids = self._tokenizer.encode(reply)
            for size in range(len(ids), 0, -1):
                if ids[size - 1] == prompt[-1] and prompt[-size:] == ids[:size]:
                    return ids[size:]
        return None

    def _stop(
        self, ids: tuple[int, ...], sampling: Sampling
    ) -> tuple[tuple[int, ...], bool, int | None]:
        """The tokens before the first stop id or stop string after `min_tokens`, whether there is
        one, and the stop id."""
        least = sampling.min_tokens
        stopped, stop_id = False, None
        if sampling.stop_ids:
            for at in range(least, len(ids)):
                if ids[at] in sampling.stop_ids:
                    ids, stopped, stop_id = ids[:at], True, ids[at]
                    break
        if sampling.stop:
            text = self._tokenizer.decode(ids)
            start = len(self._tokenizer.decode(ids[:least]))
            found = [at for stop in sampling.stop if (at := text.find(stop, start)) >= 0]
            if found:
                ids, stopped = self._tokenizer.encode(text[: min(found)]), True
                stop_id = None
        return ids, stopped, stop_id

    def _logprobs(
        self, prompt: tuple[int, ...], ids: tuple[int, ...], top: int
    ) -> tuple[TokenLogprobs, ...]:
        if not top:
            return ()
        found = []
        for token, logprob in zip(ids, continuation_logprobs(prompt, ids), strict=True):
            others = [token]
            for word in words(hash(token)):
                if len(others) == top:
                    break
                other = self._tokenizer.encode(word)[0]
                if other not in others:
                    others.append(other)
            ranked = tuple((other, logprob - rank) for rank, other in enumerate(others))
            found.append(TokenLogprobs(token, logprob, ranked))
        return tuple(found)


def constrained(constraint: Constraint, key: int, reply: str | None) -> str:
    """A text that the constraint accepts: the reply if it does, else one drawn from `key`.

    Raises ConstraintError for an invalid constraint, CapabilityError for a grammar.
    """
    if constraint.kind == "choices":
        if reply in constraint.choices:
            return str(reply)
        return constraint.choices[key % len(constraint.choices)]
    if constraint.kind == "regex":
        drawn = sample_regex(constraint.text, Random(key))
        return reply if reply is not None and re.fullmatch(constraint.text, reply) else drawn
    if constraint.kind == "schema":
        made = sample_schema(constraint.text, Random(key))
        return reply if reply is not None and _is_json(reply) else made
    raise CapabilityError(
        f"the fake backend cannot follow a {constraint.kind}.",
        hint="Use regex, schema or choices, or the radix backend.",
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
