"""How an `openai:` backend is opened."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal

from ramify.errors import BackendError

Wire = Literal["auto", "tokens", "text", "chat"]
HOSTED = "https://api.openai.com/v1"
# "localhost:8000" and its like: meant as an address, and no name of a model
_BARE = re.compile(
    r"(?:^|@)(\w+://.*|(?:localhost|\d+(?:\.\d+){3})(?:[:/].*)?|[\w-]+[.:][^@]*/v1/?)$"
    r"|@([\w.-]+:\d+(?:/.*)?)$"
)
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """Options of `OpenAIBackend.open`; each may also be text, as in "openai:M@URL?total_s=60".

    The key is read from the environment variable `key_env` when the backend opens; it is sent in
    one header and written nowhere. Times are in seconds.
    """

    model: str = ""  # "": the only model that the server has
    url: str = ""  # up to and with /v1; "": OPENAI_BASE_URL, or the hosted service
    key_env: str = "OPENAI_API_KEY"
    wire: Wire = "auto"  # tokens where the server takes them, else chat, else plain text
    tokenizer: str = ""  # folder or cached hub name; "": the model's, where it is on this machine
    context: int = 0  # tokens; 0: what the server says, else 8192
    cache_tokens: int = 0  # what the prefix cache holds; 0: what the server says, if it does
    connections: int = 256  # requests at once; more wait here, most urgent first
    connect_s: float = 10.0
    first_s: float = 300.0  # to the first byte of an answer (all of one that is not streamed)
    gap_s: float = 60.0  # between two pieces of a streamed answer
    total_s: float = 600.0  # for one request with all its retries; not for waiting here
    tries: int = 5  # of one request, where another try is safe
    backoff_s: float = 0.5  # before the second try; doubles, with jitter
    probe: bool = True  # ask the server at the start what it can
    http2: bool = False  # over https, where the server speaks it too
    verify: bool = True  # TLS certificates
    ca_file: str = ""  # PEM: whom to trust besides; "": those whom the machine trusts
    reasoning: bool = False  # True: reasoning content is part of the answer, in <think> marks
    cache_hints: bool = False  # mark the stable beginning for caches that want to be told
    leader_first: bool | None = None  # of requests with a common beginning one goes ahead; None:
    # where the server has a prefix cache and does not share what is under way
    priorities: bool | None = None  # None: what the probe finds
    tools: bool | None = (
        None  # tool calls of the server's own, in chats; None: what the probe finds
    )
    price_input: float = 0.0  # per million tokens
    price_cached: float = 0.0
    price_output: float = 0.0
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, ok, need in (
            ("wire", self.wire in ("auto", "tokens", "text", "chat"), "auto, tokens, text or chat"),
            ("connections", self.connections > 0, "over 0"),
            ("context", self.context >= 0, "0 or more"),
            ("cache_tokens", self.cache_tokens >= 0, "0 or more"),
            ("tries", self.tries > 0, "over 0"),
            ("connect_s", self.connect_s > 0, "over 0"),
            ("first_s", self.first_s > 0, "over 0"),
            ("gap_s", self.gap_s > 0, "over 0"),
            ("total_s", self.total_s > 0, "over 0"),
            ("backoff_s", self.backoff_s >= 0, "0 or more"),
            ("url", not self.url or self.url.startswith(("http://", "https://")), "an http(s) URL"),
        ):
            if not ok:
                value = getattr(self, name)
                raise BackendError(f"{name}={value!r} is not allowed.", hint=f"It must be {need}.")
        if self.http2 and importlib.util.find_spec("h2") is None:
            raise BackendError(
                "http2=true needs a package that is not installed.",
                hint="pip install 'httpx[http2]', or leave it out.",
            )

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """Whom to trust, as httpx wants it. Raises BackendError where `ca_file` cannot be read."""
        if not self.ca_file or not self.verify:
            return self.verify
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(self.ca_file)
        except OSError as error:
            raise BackendError(
                f"ca_file={self.ca_file!r} cannot be read ({error.strerror or error}).",
                hint="Name a PEM file with the certificate, or that of its authority.",
            ) from error
        return context

    @property
    def base(self) -> str:
        """The address that paths are put behind, without a slash at its end."""
        return (self.url or os.environ.get("OPENAI_BASE_URL") or HOSTED).rstrip("/")

    @property
    def root(self) -> str:
        """The server's own address: the base without its version."""
        return re.sub(r"/v\d+$", "", self.base)

    @property
    def key(self) -> str:
        """The key, from the environment; "" where there is none."""
        return os.environ.get(self.key_env, "").strip()

    @classmethod
    def of(cls, path: str = "", **options: Any) -> OpenAIOptions:
        """From "MODEL@URL", either of which may be left out, and keyword options.

        Text is read as a number, a truth value or JSON where one is due. Raises BackendError for
        an unknown option or a value that cannot be read.
        """
        found: dict[str, Any] = {}
        place = re.search(r"(?:^|@)(https?://.*)$", path)
        if place is not None:
            found["url"] = place[1]
            path = path[: place.start()]
        elif (bare := _BARE.search(path)) is not None:
            raise BackendError(
                f"{(bare[1] or bare[2])!r} is not the address of a server.",
                hint='It begins with http:// or https://: "openai:MODEL@http://HOST:PORT/v1".',
            )
        if path:
            found["model"] = path
        kinds = {item.name: str(item.type) for item in fields(cls)}
        for name, value in options.items():
            if name not in kinds:
                near = get_close_matches(name, kinds, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(kinds)}."
                raise BackendError(f"the openai backend has no option {name!r}.", hint=hint)
            found[name] = _read(name, value, kinds[name]) if isinstance(value, str) else value
        return cls(**found)


def _read(name: str, text: str, kind: str) -> Any:
    if kind in ("str", "Wire"):
        return text
    if kind.startswith("bool"):
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        raise BackendError(f"{name}={text!r} is neither true nor false.")
    try:
        if kind.startswith("Mapping"):
            return json.loads(text)
        return int(text) if kind == "int" else float(text)
    except ValueError as error:
        due = "a JSON object" if kind.startswith("Mapping") else "a number"
        raise BackendError(f"{name}={text!r} is not {due}.") from error
