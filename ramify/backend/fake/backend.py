"""The fake backend: everything that a backend does, without a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from time import perf_counter
from typing import Literal

from ramify.backend.contract import (
    Capabilities,
    Delta,
    ForkRule,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.fake.answers import Replies, Reply, Writer, prompt_logprobs
from ramify.backend.fake.forks import grow
from ramify.backend.fake.prefixes import PrefixCache
from ramify.backend.gate import Gate
from ramify.backend.render import Renderer
from ramify.backend.word_tokenizer import WordTokenizer
from ramify.errors import BackendDiedError, BackendError, CapabilityError, PromptTooLongError

CallKind = Literal["generate", "score", "prefill"]

_CHUNK = 8  # tokens per delta
_ABILITIES = Capabilities(
    prefix_cache=True,
    cached_token_counts=True,
    priorities=True,
    constraints=frozenset({"regex", "schema", "choices"}),
    scores=True,
    prompt_logprobs=True,
    logprobs=True,
    token_bans=True,
    fork_on_token=True,
)


@dataclass(slots=True, eq=False)
class Call:
    """What the backend was asked: for tests that look at which calls came, in which order."""

    kind: CallKind
    label: str
    ids: tuple[int, ...]
    salt: str
    priority: float
    cached: int  # prompt tokens that were known
    started: int  # number on one clock of starts and finishes
    tokenizer: WordTokenizer
    finished: int | None = None  # None while it runs, or if it failed or was cancelled
    answer: str = ""

    @property
    def tokens(self) -> int:
        """Prompt tokens."""
        return len(self.ids)

    @property
    def text(self) -> str:
        """The prompt as text, control tokens spelled out."""
        return self.tokenizer.spell(self.ids)


class FakeBackend:
    """A deterministic backend without a model (see `Backend` for what the methods mean).

    Answers are words drawn from the prompt's tokens (and the seed, with temperature over 0), or
    `reply`: a function of the prompt's text, a mapping from a part of the prompt to the answer, or
    a list in order of arrival. Limits, stop strings and constraints are honoured; penalties,
    top_p, top_k and min_p have nothing to act on. Of continuations to score, the one that is the
    reply (one text, or by a mapping) is the likeliest.

    `context` is in tokens; `latency` times the profile's seconds are slept (0: none); `fail` may
    give an exception to raise for a request; after `die_after` requests the backend is dead;
    `parallel` says whether parallel blocks are understood (they change no answer, only what is
    found in the cache); `record` bounds `calls`, the latest calls; `cache_tokens` the prefix cache.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        reply: Reply | None = None,
        context: int = 8192,
        latency: float = 0.0,
        fail: Callable[[Request | ScoreRequest], Exception | None] | None = None,
        die_after: int | None = None,
        profile: Profile | None = None,
        capabilities: Capabilities | None = None,
        parallel: bool = False,
        max_batch: int = 64,
        record: int = 4096,
        cache_tokens: int = 1_000_000,
    ) -> None:
        self.name = name
        self.capabilities = capabilities or replace(_ABILITIES, parallel_blocks=parallel)
        self.tokenizer = WordTokenizer()
        self.renderer = Renderer(self.tokenizer, self.tokenizer.chat_format())
        self.calls: list[Call] = []
        self._profile = profile or Profile(name=name, context=context, max_batch=max_batch)
        self._writer = Writer(self.tokenizer, Replies(reply) if reply is not None else None)
        self._latency = latency
        self._fail = fail
        self._die_after = die_after
        self._record = record
        self._cache = PrefixCache(cache_tokens)
        self._gate = Gate(self._profile.max_batch)
        self._clock = count()
        self._taken = 0  # requests
        self._dead = ""  # why, once it is

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> FakeBackend:
        """The backend of a spec such as ``fake:?latency=1``. Raises BackendError."""
        kinds: dict[str, Callable[[str], object]] = {
            "name": str,
            "context": int,
            "latency": float,
            "max_batch": int,
        }
        found: dict[str, object] = {}
        for key, text in options.items():
            if key not in kinds:
                raise BackendError(
                    f"the fake backend has no option {key!r}.", hint=f"It has {', '.join(kinds)}."
                )
            try:
                found[key] = kinds[key](text)
            except ValueError as error:
                raise BackendError(f"{key}={text!r} is not a number.") from error
        return cls(**found)  # type: ignore[arg-type]

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        begun = perf_counter()
        prompt, sampling = request.prompt, request.sampling
        self._admit(request, len(prompt) + 1)
        room = self._profile.context - len(prompt)
        most, least = min(sampling.max_tokens, room), min(sampling.min_tokens, room)
        sampling = replace(sampling, max_tokens=most, min_tokens=least)
        if request.constraint and request.constraint.kind not in self.capabilities.constraints:
            raise CapabilityError(f"{self.name!r} cannot follow a {request.constraint.kind}.")
        if sampling.logprobs and not self.capabilities.logprobs:
            raise CapabilityError(f"{self.name!r} has no log-probabilities.")
        if request.fork is not None:
            async for delta in self._fork(replace(request, sampling=sampling), request.fork):
                yield delta
            return
        await self._gate.enter(request.priority)
        try:
            call = self._start("generate", prompt, request.label, request.salt, request.priority)
            await self._compute(call.tokens - call.cached)
            answer = self._writer.write(prompt, sampling, request.constraint, request.bans)
            first = 0.0
            for at in range(0, max(len(answer.ids), 1), _CHUNK):
                ids = answer.ids[at : at + _CHUNK]
                await self._decode(len(ids))
                self._check_alive()
                first = first or perf_counter() - begun
                text = self.tokenizer.decode(ids)
                logprobs = answer.logprobs[at : at + _CHUNK]
                if at + _CHUNK < len(answer.ids):
                    yield Delta(ids, text, logprobs=logprobs)
            self._cache.insert(prompt, request.salt, self.capabilities.parallel_blocks, answer.ids)
            call.answer, call.finished = answer.text, next(self._clock)
            total = perf_counter() - begun
            usage = Usage(call.tokens, call.cached, len(answer.ids), first, total)
            yield Delta(ids, text, answer.finish, usage, logprobs, stop_id=answer.stop_id)
        finally:
            self._gate.leave()

    async def _fork(self, request: Request, rule: ForkRule) -> AsyncIterator[Delta]:
        """An answer that forks; its call's answer is the main branch's text."""
        begun = perf_counter()
        if not self.capabilities.fork_on_token:
            raise CapabilityError(
                f"{self.name!r} cannot fork on a token.", hint="Use `generate_forking`."
            )
        await self._gate.enter(request.priority)
        try:
            call = self._start(
                "generate", request.prompt, request.label, request.salt, request.priority
            )
            await self._compute(call.tokens - call.cached)
            main: tuple[int, ...] = ()
            for delta in grow(self._writer, self.tokenizer, request, rule, chunk=_CHUNK):
                await self._decode(len(delta.ids))
                self._check_alive()
                if not delta.branch.path:
                    main += delta.ids
                    call.answer += delta.text
                if delta.usage is not None:
                    spent = perf_counter() - begun
                    usage = replace(delta.usage, first_token_s=spent, total_s=spent)
                    if not delta.branch.path:
                        usage = replace(usage, prompt_tokens=call.tokens, cached_tokens=call.cached)
                    delta = replace(delta, usage=usage)
                yield delta
            parallel = self.capabilities.parallel_blocks
            self._cache.insert(request.prompt, request.salt, parallel, main)
            call.finished = next(self._clock)
        finally:
            self._gate.leave()

    async def score(self, request: ScoreRequest) -> Scores:
        begun = perf_counter()
        prompt = request.prompt
        longest = max(map(len, request.continuations), default=0)
        self._admit(request, len(prompt) + longest)
        if not self.capabilities.scores:
            raise CapabilityError(f"{self.name!r} cannot score continuations.")
        if request.prompt_from is not None and not self.capabilities.prompt_logprobs:
            raise CapabilityError(f"{self.name!r} has no log-probabilities of prompts.")
        await self._gate.enter(request.priority)
        try:
            call = self._start("score", prompt, request.label, request.salt, request.priority)
            read = sum(map(len, request.continuations))
            await self._compute(call.tokens - call.cached + read)
            self._check_alive()
            found = self._writer.score(prompt, request.continuations)
            own = prompt_logprobs(prompt.ids, request.prompt_from)
            call.finished = next(self._clock)
            total = perf_counter() - begun
            return Scores(found, Usage(call.tokens + read, call.cached, 0, total, total), own)
        finally:
            self._gate.leave()

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        begun = perf_counter()
        self._check_alive()
        self._check_length(len(prompt))
        await self._gate.enter(0.0)
        try:
            call = self._start("prefill", prompt, "", salt, 0.0)
            await self._compute(call.tokens - call.cached)
            self._check_alive()
            call.finished = next(self._clock)
            total = perf_counter() - begun
            return Usage(call.tokens, call.cached, 0, total, total)
        finally:
            self._gate.leave()

    def profile(self) -> Profile:
        return self._profile

    async def close(self) -> None:
        self._dead = self._dead or "it was closed"

    def _admit(self, request: Request | ScoreRequest, length: int) -> None:
        """Count a request, and refuse it if it must be refused."""
        self._taken += 1
        if self._die_after is not None and self._taken > self._die_after:
            self._dead = self._dead or f"it was told to die after {self._die_after} requests"
        self._check_alive()
        error = self._fail(request) if self._fail is not None else None
        if error is not None:
            raise error
        self._check_length(length)

    def _check_alive(self) -> None:
        if self._dead:
            raise BackendDiedError(f"the backend {self.name!r} is dead: {self._dead}.")

    def _check_length(self, length: int) -> None:
        if length > self._profile.context:
            raise PromptTooLongError(
                f"the request needs {length} tokens, and {self.name!r} has a context of "
                f"{self._profile.context}.",
                hint="Shorten the prompt (rf.compress).",
            )

    def _start(
        self, kind: CallKind, prompt: TokenPrompt, label: str, salt: str, priority: float
    ) -> Call:
        self._check_alive()
        cached = self._cache.insert(prompt, salt, self.capabilities.parallel_blocks)
        cached = max(0, min(cached, len(prompt) - 1)) if self.capabilities.prefix_cache else 0
        started = next(self._clock)
        call = Call(kind, label, prompt.ids, salt, priority, cached, started, self.tokenizer)
        if len(self.calls) >= 2 * self._record:
            del self.calls[: -self._record]
        self.calls.append(call)
        return call

    async def _compute(self, tokens: int) -> None:
        await asyncio.sleep(self._latency * self._profile.prefill_s * tokens)

    async def _decode(self, tokens: int) -> None:
        if self._latency:
            step = self._profile.step_s(self._gate.inside)
            await asyncio.sleep(self._latency * step * tokens)
