"""Any OpenAI-compatible server as a backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter
from typing import Any

import httpx

from ramify.backend.collect import collect
from ramify.backend.contract import (
    Capabilities,
    Delta,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.gate import Gate
from ramify.backend.leaders import Leaders
from ramify.backend.mirror import Mirror
from ramify.backend.openai.client import Body, Client, Tries
from ramify.backend.openai.failures import unreadable
from ramify.backend.openai.options import OpenAIOptions
from ramify.backend.openai.probe import Server
from ramify.backend.openai.scoring import Scorer
from ramify.backend.openai.setup import Parts, assemble
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import LostTokensError
from ramify.backend.resume import resumed
from ramify.errors import (
    BackendDiedError,
    BackendError,
    CapabilityError,
    PromptTooLongError,
    ServerFailedError,
    Where,
)
from ramify.ir.sampling import Sampling


class OpenAIBackend:
    """A server that speaks the OpenAI protocol (see `Backend` for what the methods mean).

    Where the server takes token ids and says those of its answers, and its tokenizer is on this
    machine, requests travel as tokens. Elsewhere they travel as messages and text, and ids only
    spell that text: `capabilities.token_prompts` tells which.

    A request that fails in a way that may pass is sent again within its `total_s`. If a part of
    the answer was given out before, the new answer must begin with it, or the error stands.
    """

    def __init__(
        self,
        parts: Parts,
        options: OpenAIOptions,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Use `open`."""
        self.name = options.name or parts.server.model
        self.server: Server = parts.server
        self.capabilities: Capabilities = parts.capabilities
        self.renderer = parts.renderer
        self.why_text = parts.why_text  # why requests do not travel as tokens; "" where they do
        self._options = options
        self._wire = parts.wire
        self._steps = parts.steps
        self._client = Client(options, transport)
        self._gate = Gate(options.connections)
        mirror = Mirror(self.cache_tokens or 1_000_000)
        self._leaders = Leaders(mirror, least=parts.least_shared)
        follow = options.leader_first
        if follow is None:  # vLLM shares the blocks of requests under way by itself
            follow = self.capabilities.prefix_cache and parts.server.dialect.name != "vllm"
        self._follow = follow
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str = "",
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        probe_transport: httpx.BaseTransport | None = None,
        **options: Any,
    ) -> OpenAIBackend:
        """Find out what the server at "MODEL@URL" can, and make a backend of it.

        The options are those of `OpenAIOptions`. The transports replace the network, for tests.
        Raises ServerUnreachableError, ServerRefusedError, ServerTooOldError or BackendError.
        """
        wanted = OpenAIOptions.of(path, **options)
        return cls(assemble(wanted, probe_transport), wanted, transport)

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        self._check(request.prompt, request.salt, request.label)
        if request.samples > 1 and not self.capabilities.samples:
            raise CapabilityError(f"{self.name!r} gives one answer a request.")
        path, body = self._wire.send(request)
        if request.salt:
            body[self.server.dialect.salt] = request.salt
        if request.priority and self.capabilities.priorities:
            body[self.server.dialect.priority] = self.server.dialect.urgency(request.priority)
        body |= self._options.extra_body
        begun = perf_counter()
        if not self._follow:
            alone = self._answer(request, path, body, begun, stream=request.stream)
            async with aclosing(alone) as deltas:
                async for delta in deltas:
                    yield delta
            return
        async with self._leaders.enter(request.prompt.ids, request.salt) as ticket:
            # a leader streams even if nobody listens: its first token lets the others go
            stream = request.stream or ticket.leads
            async with aclosing(self._answer(request, path, body, begun, stream=stream)) as deltas:
                async for delta in deltas:
                    ticket.first()
                    yield delta

    async def _answer(
        self, request: Request, path: str, body: Body, begun: float, *, stream: bool
    ) -> AsyncGenerator[Delta]:
        """The deltas of a request, however many tries they take."""
        await self._gate.enter(request.priority)
        try:
            tries = Tries(self._options, request.label)
            lost: list[BackendError] = []
            said, whole = False, not stream

            async def once() -> AsyncGenerator[Delta]:
                nonlocal said
                one = self._once(request, path, body, begun, tries, stream=not whole)
                try:
                    async with aclosing(one) as deltas:
                        async for delta in deltas:
                            said = True
                            yield delta
                except LostTokensError as error:
                    url = self._client.url(path)
                    lost.append(unreadable(str(error), url, request.label))
                    raise lost[-1] from error

            async def again(error: BackendError) -> None:
                nonlocal whole
                # in one piece nothing is left out, and its status says what is wrong
                whole = (
                    whole or error in lost or (isinstance(error, ServerFailedError) and not said)
                )
                if error in lost:
                    return
                if self._closed:
                    raise error
                await tries.again(error)

            async with aclosing(resumed(request, self.name, once, again)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._gate.leave()

    async def _once(
        self, request: Request, path: str, body: Body, begun: float, tries: Tries, *, stream: bool
    ) -> AsyncGenerator[Delta]:
        """One try."""
        reader = self._wire.reader(request)
        first = 0.0
        try:
            if stream:
                wanted = body | {"stream": True, "stream_options": {"include_usage": True}}
                if not request.stream and self.server.dialect.name == "vllm":
                    wanted["stream_interval"] = request.sampling.max_tokens  # first and last
                async with aclosing(self._client.stream(path, wanted, tries)) as events:
                    async for event in events:
                        for delta in reader.take(event):
                            first = first or perf_counter() - begun
                            yield delta
                        if reader.done:
                            break
            else:
                answer = await self._client.post(path, body, tries)
                for delta in reader.take(answer):
                    yield delta
            total = perf_counter() - begun
            for delta in reader.end(first or total, total):
                yield delta
        except LostTokensError:
            raise
        except BrokenEventError as error:
            raise unreadable(str(error), self._client.url(path), request.label) from error

    async def score(self, request: ScoreRequest) -> Scores:
        longest = max(map(len, request.continuations), default=0)
        self._check(request.prompt, request.salt, request.label, more=longest)
        if not self.capabilities.scores:
            raise CapabilityError(f"{self.name!r} cannot score continuations.")

        async def ask(path: str, body: Body) -> Body:
            if request.salt:
                body[self.server.dialect.salt] = request.salt
            return await self._post(path, body, request.priority, request.label)

        scorer = Scorer(self.server.model, self._steps, ask)
        try:
            return await scorer.score(request)
        except BrokenEventError as error:
            raise unreadable(str(error), self._client.url(scorer.path), request.label) from error

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        """Ask for one token, and forget it."""
        if not self.capabilities.prefix_cache:
            return Usage()
        request = Request(prompt=prompt, sampling=Sampling(max_tokens=1), salt=salt, label="warm")
        found = await collect(self.generate(request))
        return replace(found.usage, output_tokens=0)

    async def embed(self, texts: Sequence[str], *, model: str = "") -> list[list[float]]:
        """A vector for each text, from `/embeddings`; `model` where it is another one."""
        if not texts:
            return []
        body: Body = {"model": model or self.server.model, "input": list(texts)}
        answer = await self._post("/embeddings", body, 0.0, "embed")
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            found = [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            url = self._client.url("/embeddings")
            raise unreadable(f"no embeddings in {str(answer)[:80]!r}", url) from error
        if len(found) != len(texts):
            url = self._client.url("/embeddings")
            raise unreadable(f"{len(found)} embeddings for {len(texts)} texts", url)
        return found

    async def _post(self, path: str, body: Body, priority: float, label: str) -> Body:
        await self._gate.enter(priority)
        try:
            tries = Tries(self._options, label)
            while True:
                try:
                    return await self._client.post(path, body, tries)
                except BackendError as error:
                    await tries.again(error)
        finally:
            self._gate.leave()

    def profile(self) -> Profile:
        options = self._options
        return Profile(
            name=self.name,
            context=options.context or self.server.context or 8192,
            price_input=options.price_input,
            price_cached=options.price_cached,
            price_output=options.price_output,
            max_batch=options.connections,
        )

    @property
    def cache_tokens(self) -> int:
        """The size of the server's prefix cache; 0 where it does not say."""
        return self._options.cache_tokens or self.server.cache_tokens

    @property
    def cache_block(self) -> int:
        """Tokens of a block of the server's prefix cache; 1 where it does not say."""
        return self.server.cache_block or 1

    async def alive(self) -> bool:
        """Whether the server answers."""
        return not self._closed and await self._client.alive()

    async def close(self) -> None:
        self._closed = True
        await self._client.close()

    def _check(self, prompt: TokenPrompt, salt: str, label: str, more: int = 1) -> None:
        if self._closed:
            raise BackendDiedError(f"the backend {self.name!r} is closed.")
        if not prompt.ids:
            raise BackendError("the prompt is empty.", where=Where(node=label))
        context = self.profile().context
        if self.capabilities.token_prompts and len(prompt) + more > context:
            raise PromptTooLongError(
                f"the prompt has {len(prompt)} tokens, and {self.name!r} has a context of "
                f"{context}.",
                hint="Shorten the prompt (rf.compress).",
                where=Where(node=label),
            )
        if salt and not self.server.dialect.salt:
            raise CapabilityError(
                f"{self.name!r} cannot keep the prefixes of a salt apart.",
                hint="Leave Policy(salt=) out, or use an account per tenant.",
                where=Where(node=label),
            )
