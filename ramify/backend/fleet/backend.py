"""A fleet: several backends of one model behind the contract of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import fields, replace
from typing import Any, TypeVar

from ramify.backend.contract import (
    Backend,
    Capabilities,
    Delta,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.fleet.replica import Breaker, Replica
from ramify.backend.fleet.router import Router
from ramify.backend.mirror import Mirror
from ramify.backend.resume import resumed
from ramify.errors import (
    BackendDiedError,
    BackendError,
    RateLimitedError,
    ServerTimeoutError,
    ServerUnreachableError,
    Where,
)

T = TypeVar("T")
# What another replica may do better; every other error is the request's own.
_FAILOVER = (BackendDiedError, RateLimitedError, ServerTimeoutError)
_CACHE_TOKENS = 1_000_000


class Fleet:
    """Backends of the same model as one backend (see `Backend` for what the methods mean).

    A request goes to the replica that knows the longest beginning of its prompt, unless that one
    is much busier than others. A replica that fails is left alone for a while, and its unfinished
    requests go to others: an answer that had begun goes on where it stopped if it is
    deterministic, and fails with a named error otherwise; nothing is lost or said twice.
    """

    def __init__(
        self,
        replicas: Sequence[str | Backend],
        *,
        name: str = "fleet",
        cache_tokens: int | None = None,
        block: int = 16,
        failures: int = 3,
        pause_s: float = 0.5,
        health_s: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        """`replicas`: backends, or the names of backends. `cache_tokens` is the size of a replica's
        prefix cache where it does not say. `health_s` is the time between checks of replicas that
        failed (None: only requests try them again).

        Raises BackendError where there is none, or where their tokenizers differ.
        """
        from ramify.backend.open import open_backend

        if not replicas:
            raise BackendError("a fleet needs a replica.", hint='Fleet(["openai:M@URL", ...]).')
        opened = [open_backend(one) for one in replicas]
        names = {one.renderer.tokenizer.name for one in opened}
        if len(names) > 1:
            raise BackendError(
                f"the replicas of {name!r} have {len(names)} different tokenizers.",
                hint="A fleet serves one model; several models are a mapping of backends.",
            )
        self.name = name
        self.renderer = opened[0].renderer
        self.capabilities = _common([one.capabilities for one in opened])
        self.replicas = [
            Replica(
                one,
                Mirror(cache_tokens or getattr(one, "cache_tokens", 0) or _CACHE_TOKENS, block),
                Breaker(failures, pause_s),
            )
            for one in opened
        ]
        self.failovers = 0
        self._router = Router(seed)
        self._health_s = health_s
        self._checking: asyncio.Task[None] | None = None
        self._closed = False

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        tried: list[Replica] = []
        failures: list[BackendError] = []  # of replicas, each of which another one may make good

        async def once() -> AsyncGenerator[Delta]:
            replica, work = self._send(request.prompt, request.salt, tried, request.label)
            work += request.sampling.max_tokens * request.samples
            replica.begin(work)
            try:
                stream: Any = replica.backend.generate(request)
                async with aclosing(stream) as deltas:
                    async for delta in deltas:
                        replica.breaker.worked()
                        yield delta
            except _FAILOVER as error:
                self._failed(replica, error)
                tried.append(replica)
                failures.append(error)
                raise
            finally:
                replica.breaker.withdrawn()
                replica.end(work)

        async def again(error: BackendError) -> None:
            if error not in failures:
                raise error
            self.failovers += 1

        async with aclosing(resumed(request, self.name, once, again)) as answer:
            async for delta in answer:
                yield delta

    async def score(self, request: ScoreRequest) -> Scores:
        return await self._once(
            request.prompt, request.salt, request.label, lambda one: one.score(request)
        )

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        return await self._once(prompt, salt, "", lambda one: one.prefill(prompt, salt=salt))

    async def _once(
        self,
        prompt: TokenPrompt,
        salt: str,
        label: str,
        ask: Callable[[Backend], Awaitable[T]],
    ) -> T:
        tried: list[Replica] = []
        while True:
            replica, work = self._send(prompt, salt, tried, label)
            replica.begin(work)
            try:
                found = await ask(replica.backend)
                replica.breaker.worked()
                return found
            except _FAILOVER as error:
                self._failed(replica, error)
                tried.append(replica)
                self.failovers += 1
            finally:
                replica.breaker.withdrawn()
                replica.end(work)

    def _send(
        self, prompt: TokenPrompt, salt: str, tried: list[Replica], label: str
    ) -> tuple[Replica, int]:
        """Choose a replica, and write down that it will know the prompt."""
        if self._closed:
            raise BackendDiedError(f"the fleet {self.name!r} is closed.")
        if self._health_s is not None and self._checking is None:
            self._checking = asyncio.create_task(self._check_health(self._health_s))
        replica, known = self._router.choose(self.replicas, prompt.ids, salt, tried)
        if replica is None:
            reasons = "; ".join(
                f"{number}: {one.breaker.reason or ('draining' if one.draining else 'busy')}"
                for number, one in enumerate(self.replicas)
            )
            raise BackendDiedError(
                f"no replica of {self.name!r} can take the request ({reasons}).",
                hint="Start them again; the fleet finds them by itself.",
                where=Where(node=label),
            )
        replica.mirror.add(replica.mirror.names(prompt.ids, salt))
        return replica, len(prompt) - known

    def _failed(self, replica: Replica, error: BackendError) -> None:
        if isinstance(error, RateLimitedError):
            return  # it works, it only has enough to do
        replica.breaker.failed(error.what, at_once=isinstance(error, ServerUnreachableError))
        if not replica.breaker.closed:
            replica.mirror.clear()  # it may come back empty

    async def _check_health(self, every_s: float) -> None:
        """Ask replicas that failed whether they are back, where they can be asked."""
        while not self._closed:
            await asyncio.sleep(every_s)
            for replica in self.replicas:
                alive = getattr(replica.backend, "alive", None)
                if alive is not None and not replica.breaker.closed and await alive():
                    replica.breaker.worked()

    async def drain(self, number: int) -> Backend:
        """Send nothing new to a replica, wait until it has finished, and give it back open."""
        replica = self.replicas[number]
        replica.draining = True
        await replica.drained()
        return replica.backend

    def undrain(self, number: int) -> None:
        """Send requests to a replica again."""
        self.replicas[number].draining = False

    @property
    def cache_tokens(self) -> int:
        """What the prefix caches of all replicas hold; 0 where one does not say."""
        sizes = [getattr(one.backend, "cache_tokens", 0) for one in self.replicas]
        return sum(sizes) if all(sizes) else 0

    @property
    def cache_block(self) -> int:
        """Tokens of the largest block of their caches; 1 where none says."""
        return max(getattr(one.backend, "cache_block", 1) for one in self.replicas)

    def profile(self) -> Profile:
        profiles = [one.backend.profile() for one in self.replicas]
        return replace(
            profiles[0],
            name=self.name,
            context=min(one.context for one in profiles),
            max_batch=sum(one.max_batch for one in profiles),
        )

    async def close(self) -> None:
        self._closed = True
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking
            self._checking = None
        for replica in self.replicas:
            await replica.backend.close()


def _common(all_of: Sequence[Capabilities]) -> Capabilities:
    """What every replica can."""
    found: dict[str, Any] = {}
    for item in fields(Capabilities):
        values = [getattr(one, item.name) for one in all_of]
        if isinstance(values[0], frozenset):
            found[item.name] = frozenset.intersection(*values)
        elif isinstance(values[0], tuple):  # why something is lacking: one replica is enough
            found[item.name] = tuple(dict.fromkeys(reason for one in values for reason in one))
        else:
            found[item.name] = all(values)
    return Capabilities(**found)
