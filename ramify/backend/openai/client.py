"""Requests to one server: a connection pool, times for every stage, more tries where it is safe."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Any

import httpx

from ramify.backend.openai.failures import (
    retry_after,
    status_error,
    transport_error,
    unreadable,
)
from ramify.backend.openai.options import OpenAIOptions
from ramify.backend.openai.sse import BrokenEventError, events
from ramify.errors import (
    BackendError,
    RateLimitedError,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
)

Body = dict[str, Any]
# Errors after which the same request may be sent again: it computes, and changes nothing.
AGAIN = (ServerUnreachableError, ServerFailedError, RateLimitedError, ServerTimeoutError)
# How long an idle connection is kept. Servers close theirs after 5 s (uvicorn) or more; one that is
# used at that very moment costs a try.
_IDLE_S = 2.0


class Tries:
    """The time and the tries that are left for one request."""

    def __init__(self, options: OpenAIOptions, label: str = "") -> None:
        self.label = label
        self._options = options
        self._end = monotonic() + options.total_s
        self._tried = 0
        self.asked_s: float | None = None  # what the server asked to wait

    def left(self, stage_s: float) -> float:
        """Seconds that a stage may take now."""
        return max(0.001, min(stage_s, self._end - monotonic()))

    async def again(self, error: BackendError) -> None:
        """Wait before the next try; raises the error where there is none."""
        self._tried += 1
        wait = self._options.backoff_s * 2 ** (self._tried - 1) * random.uniform(0.75, 1.25)
        if self.asked_s is not None:
            wait = max(self.asked_s * random.uniform(1.0, 1.1), wait)
            self.asked_s = None
        if self._tried >= self._options.tries or not isinstance(error, AGAIN):
            raise error
        if monotonic() + wait >= self._end:
            error.what += f" (no time is left for another try: total_s={self._options.total_s:g})"
            raise error
        await asyncio.sleep(wait)


class Client:
    """Talks to one server. A client belongs to the event loop that uses it first."""

    def __init__(
        self, options: OpenAIOptions, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._options = options
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        found = dict(self._options.headers)
        if self._options.key:
            found["Authorization"] = f"Bearer {self._options.key}"
        return found

    def url(self, path: str) -> str:
        """The whole address of a path; "../x" is beside the version."""
        if path.startswith("../"):
            return f"{self._options.root}/{path[3:]}"
        return self._options.base + path

    def _open(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            options = self._options
            most = options.connections + 8
            self._loop = loop
            self._client = httpx.AsyncClient(
                headers=self.headers(),
                timeout=httpx.Timeout(None, connect=options.connect_s),
                limits=httpx.Limits(
                    max_connections=most,
                    max_keepalive_connections=most,
                    keepalive_expiry=_IDLE_S,
                ),
                http2=options.http2,
                verify=options.trust,
                transport=self._transport,
            )
        return self._client

    async def post(self, path: str, body: Body, tries: Tries) -> Body:
        """One answer in one piece, one try."""
        url = self.url(path)
        client = self._open()
        try:
            async with asyncio.timeout(tries.left(self._options.first_s)):
                answer = await client.post(url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise transport_error(error, url, "answer", tries.label) from error
        if answer.status_code != 200:
            tries.asked_s = retry_after(answer.headers)
            raise status_error(answer.status_code, answer.content, url, tries.label)
        return _object(answer.content, url, tries.label)

    async def stream(self, path: str, body: Body, tries: Tries) -> AsyncGenerator[Body]:
        """The events of a streamed answer, one try."""
        url = self.url(path)
        options = self._options
        client = self._open()
        request = client.build_request("POST", url, json=body)
        answer: httpx.Response | None = None
        stage = "begin its answer"
        try:
            async with asyncio.timeout(tries.left(options.first_s)):
                answer = await client.send(request, stream=True)
                if answer.status_code != 200:
                    await answer.aread()
            if answer.status_code != 200:
                tries.asked_s = retry_after(answer.headers)
                raise status_error(answer.status_code, answer.content, url, tries.label)
            if "json" in answer.headers.get("content-type", ""):  # a server that does not stream
                async with asyncio.timeout(tries.left(options.total_s)):
                    yield _object(await answer.aread(), url, tries.label)
                return
            limit = options.first_s
            async with aclosing(events(answer.aiter_bytes())) as found:
                while True:
                    async with asyncio.timeout(tries.left(limit)):
                        event = await anext(found, None)
                    if event is None:
                        return
                    if event.get("error"):  # after a status of 200, which was sent before it
                        raise _told(event, url, tries.label)
                    yield event
                    limit, stage = options.gap_s, "go on with its answer"
        except BrokenEventError as error:
            raise unreadable(str(error), url, tries.label) from error
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise transport_error(error, url, stage, tries.label) from error
        finally:
            if answer is not None:
                await answer.aclose()

    async def alive(self) -> bool:
        """Whether the server answers at all, in a few seconds."""
        try:
            async with asyncio.timeout(min(5.0, self._options.connect_s)):
                answer = await self._open().get(self.url("/models"))
        except (httpx.HTTPError, TimeoutError):
            return False
        return answer.status_code < 500

    async def close(self) -> None:
        """Close all connections, on the loop that they belong to."""
        client, loop = self._client, self._loop
        self._client = None
        if client is None or loop is None:
            return
        if loop is asyncio.get_running_loop():
            await client.aclose()
        elif loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(client.aclose(), loop))


def _told(event: Body, url: str, label: str) -> BackendError:
    """The error that a server tells inside of a stream."""
    error = event["error"] if isinstance(event["error"], dict) else {}
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    if error.get("type") == "BadRequestError":
        status = 400
    return status_error(status, json.dumps(event).encode(), url, label)


def _object(content: bytes, url: str, label: str) -> Body:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise unreadable(f"it is not JSON: {content[:80]!r}", url, label) from error
    if not isinstance(found, dict):
        raise unreadable(f"it is not a JSON object: {content[:80]!r}", url, label)
    return found
