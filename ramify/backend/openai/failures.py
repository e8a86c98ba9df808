"""What went wrong between us and a server, as errors with names."""

from __future__ import annotations

import json
import re
import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

from ramify.errors import (
    BackendError,
    ConstraintError,
    PromptTooLongError,
    RateLimitedError,
    ServerFailedError,
    ServerRefusedError,
    ServerTimeoutError,
    ServerUnreachableError,
    ServerUntrustedError,
    Where,
)

_TOO_LONG = re.compile(
    r"context.?length|context.?window|context size|maximum (model|context)|max_model_len"
    r"|too (long|many tokens)|exceeds? the (available )?context|input.{0,20}tokens.{0,40}exceed",
    re.IGNORECASE,
)
_GRAMMAR = re.compile(r"grammar|regex|json.?schema|structured.?output|guided", re.IGNORECASE)
# Worth another try: nothing was computed, or the failure is known to pass.
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


def transport_error(error: Exception, url: str, stage: str, label: str = "") -> BackendError:
    """An error of the connection. `stage` says what was waited for."""
    where = Where(node=label)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            refused = isinstance(cause, ssl.SSLCertVerificationError)
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            if refused:
                return ServerUntrustedError(
                    f"{url} cannot be trusted: its TLS certificate was refused ({reason}).",
                    hint="For a certificate of your own name its file: ca_file=FILE.pem.",
                    where=where,
                )
            return ServerUnreachableError(
                f"{url} does not speak TLS ({reason}).",
                hint="Should it be http:// instead of https://?",
                where=where,
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return ServerTimeoutError(
            f"{url} did not {stage} in time.",
            hint="Raise connect_s, first_s, gap_s or total_s, or look at the server's load.",
            where=where,
        )
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return ServerUnreachableError(
            f"{url!r} is not an address of a server.", hint='Write "openai:MODEL@http://HOST/v1".'
        )
    if isinstance(error, httpx.ConnectError):
        return ServerUnreachableError(
            f"nothing answers at {url} ({error}).",
            hint="Is the server running, and the address right (with /v1 at its end)?",
            where=where,
        )
    return ServerUnreachableError(
        f"the connection to {url} broke ({type(error).__name__}: {error}).", where=where
    )


def status_error(status: int, body: bytes, url: str, label: str = "") -> BackendError:
    """The error behind an answer that is not 200."""
    said = message_of(body)
    where = Where(node=label)
    if status in (401, 403):
        return ServerRefusedError(
            f"{url} refuses the key (status {status}: {said}).",
            hint="Set OPENAI_API_KEY, or name the variable that holds the key with key_env=.",
            where=where,
        )
    if _TOO_LONG.search(said):
        return PromptTooLongError(
            f"the prompt does not fit the server's context ({said}).",
            hint="Shorten the prompt (rf.compress), or lower max_tokens.",
            where=where,
        )
    if status == 404 and "model" in said.lower():
        return ServerRefusedError(f"the server does not have the model ({said}).", where=where)
    if status == 404 or status == 405:
        return ServerRefusedError(
            f"{url} does not exist on the server (status {status}).",
            hint="Is the address right? It mostly ends with /v1.",
            where=where,
        )
    if status == 429:
        return RateLimitedError(
            f"{url} says: too many requests ({said}).",
            hint="Lower connections= or concurrency=, or raise tries= and total_s=.",
            where=where,
        )
    if status >= 500 or status in PASSING:
        return ServerFailedError(f"{url} failed with status {status} ({said}).", where=where)
    if _GRAMMAR.search(said):
        return ConstraintError(f"the server refuses the constraint ({said}).", where=where)
    return ServerRefusedError(
        f"the server refuses the request (status {status}: {said}).", where=where
    )


def message_of(body: bytes) -> str:
    """What a server says in the body of an error: at most 300 characters of it."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = text
    for _ in range(4):
        if isinstance(found, dict):
            inner = (found.get(key) for key in ("error", "message", "detail", "msg"))
            found = next((item for item in inner if item), json.dumps(found))
        elif isinstance(found, list) and found:
            found = found[0]
    text = " ".join(str(found).split())
    return text[:300] or "it says nothing more"


def unreadable(what: str, url: str, label: str = "") -> ServerFailedError:
    """The server's answer is not what the protocol says."""
    return ServerFailedError(
        f"the answer of {url} cannot be read: {what}.",
        hint="Is it an OpenAI-compatible server, and is a proxy in between?",
        where=Where(node=label),
    )


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the server asks to wait: a number, milliseconds, or a date; None if silent."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            return max(0.0, float(text) * scale)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time())
        except (TypeError, ValueError):
            continue
    return None
