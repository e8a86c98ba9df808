"""Bad servers and bad networks: every request ends, as an answer or as an error with a name."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

import ramify as rf
from ramify.backend import open_backend
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.openai import OpenAIBackend
from ramify.backend.openai.failures import retry_after, status_error
from ramify.backend.openai.options import OpenAIOptions
from ramify.backend.openai.setup import assemble
from ramify.errors import (
    BackendError,
    ConstraintError,
    PromptTooLongError,
    RamifyError,
    RateLimitedError,
    ServerFailedError,
    ServerRefusedError,
    ServerTimeoutError,
    ServerTooOldError,
    ServerUnreachableError,
)
from tests.backend.openai.spec_server import Fault, SpecServer


@rf.program
def ask(s: rf.State, word: str) -> Any:
    s += rf.system("The harbour was built on trade and fish. " * 4)
    s += rf.user(word)
    s += rf.assistant(rf.gen("a", max_tokens=16))
    return s["a"]


ROWS = [{"word": f"word {i}"} for i in range(12)]


def batch(server: SpecServer, folder: Path, **options: Any) -> rf.BatchResult:
    fast = {"backoff_s": 0.01, "total_s": 120.0, "tries": 60}
    backend = OpenAIBackend.open(f"small@{server.url}", tokenizer=str(folder), **fast | options)
    return ask.run_batch(ROWS, backend=backend)


FAULTS = ["429", "500", "close", "malformed", "cut", "stall", "garbled", "hang", "trickle"]
QUIET = ("stall", "hang", "trickle")


@pytest.mark.parametrize("fault", FAULTS)
def test_one_in_three_goes_wrong_and_every_row_ends_right(
    fault: Fault, tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer).running() as server:
        right = [result.text for result in batch(server, folder)]
    server = SpecServer(tokenizer=tokenizer, faults=lambda n: fault if n % 3 == 0 else None)
    with server.running():
        stages = {"gap_s": 0.5, "first_s": 0.5} if fault in QUIET else {}
        found = batch(server, folder, **stages)
        assert not found.failed
        assert [result.text for result in found] == right
        assert server.generations > len(ROWS)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", RateLimitedError),
        ("500", ServerFailedError),
        ("close", ServerUnreachableError),
        ("malformed", ServerFailedError),
        ("cut", ServerFailedError),
        ("stall", ServerTimeoutError),
        ("garbled", ServerFailedError),
        ("hang", ServerTimeoutError),
        ("trickle", ServerTimeoutError),
        ("refuse", ConstraintError),
    ],
)
def test_a_server_that_never_works_gives_named_errors_in_time(
    fault: Fault, error: type[RamifyError], tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer, faults=lambda _: fault).running() as server:
        stages = {"first_s": 0.2, "gap_s": 0.2} if fault in QUIET else {}
        # a leader streams, so what a server tells inside of a stream is met too
        found = batch(server, folder, tries=2, leader_first=True, **stages)
        assert len(found.failed) == len(ROWS)
        for failure in found.failed.values():
            assert isinstance(failure, error) and "node 'ask/a'" in str(failure)


def test_the_deadline_holds_whatever_the_stages_allow(tokenizer: HFTokenizer, folder: Path) -> None:
    begun = monotonic()
    for fault in QUIET:
        with SpecServer(tokenizer=tokenizer, faults=lambda _, f=fault: f).running() as server:
            found = batch(server, folder, total_s=0.5, leader_first=True)
            assert len(found.failed) == len(ROWS)
            assert all(isinstance(e, ServerTimeoutError) for e in found.failed.values())
    assert monotonic() - begun < 60  # and not first_s, which is 300


def test_what_was_streamed_is_not_said_twice(tokenizer: HFTokenizer, folder: Path) -> None:
    with SpecServer(tokenizer=tokenizer).running() as server:
        backend = OpenAIBackend.open(f"small@{server.url}", tokenizer=str(folder))
        right = ask.run(word="x", backend=backend).text
        server.generations, server.faults = 0, lambda n: "close" if n == 1 else None
        server.delay = 0.01
        said = [e.text for e in ask.stream(word="x", backend=backend) if e.kind == "delta"]
        assert "".join(said) == right and server.generations == 2


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        ("small@http://127.0.0.1:1/v1", "", ServerUnreachableError, "nothing answers at"),
        ("small@URL/v7", "", ServerRefusedError, "does not exist"),
        ("small@ROOT", "", ServerRefusedError, "Did you mean .*/v1?"),
        ("smal@URL", "", ServerRefusedError, "no model 'smal'. Did you mean 'small'"),
        ("small@https://HOST/v1", "", ServerUnreachableError, "does not speak TLS"),
        ("small@HOST", "", BackendError, "is not the address of a server. It begins with http"),
        ("small@HOST/v1", "", BackendError, "is not the address of a server"),
        ("small@localhost", "", BackendError, "'localhost' is not the address"),
        ("localhost:80/v1", "", BackendError, "'localhost:80/v1' is not the address"),
        ("small@ws://HOST", "", BackendError, "'ws://.*' is not the address"),
        ("small@URL", "?total=3", BackendError, "no option 'total'. Did you mean 'total_s'"),
        ("small@URL", "?tries=many", BackendError, "'many' is not a number"),
        ("small@URL", "?tries=0", BackendError, "tries=0 is not allowed"),
        ("small@URL", "?tokenizer=/nowhere", BackendError, "nowhere"),
    ],
)
def test_what_can_be_known_at_the_start_is_said_at_the_start(
    path: str, options: str, error: type[RamifyError], message: str
) -> None:
    with SpecServer().running() as server:
        host = f"127.0.0.1:{server.port}"
        for name, value in (("URL", server.url), ("ROOT", f"http://{host}"), ("HOST", host)):
            path = path.replace(name, value)
        with pytest.raises(error, match=message):
            open_backend(f"openai:{path}{options}")


@pytest.mark.parametrize("name", ["gpt-x", "m@20240620", "org/model:8b", "phi:3", "a@b", "@cf/m/n"])
def test_names_of_models_are_not_taken_for_addresses(name: str) -> None:
    options = OpenAIOptions.of(name)
    assert (options.model, options.url) == (name, "")
    options = OpenAIOptions.of(f"{name}@http://host:80/v1")
    assert (options.model, options.url) == (name, "http://host:80/v1")


def test_without_an_address_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(ServerUnreachableError, match=r"api\.openai\.com.* No server was named"):
        assemble(OpenAIOptions.of("small"), httpx.MockTransport(nobody))


def test_keys_come_from_the_environment_and_are_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "sk-very-secret-123"
    with SpecServer("openai", key=secret).running() as server:
        with pytest.raises(ServerRefusedError, match=r"refuses the key .*OPENAI_API_KEY") as none:
            OpenAIBackend.open(f"small@{server.url}")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-456")
        with pytest.raises(ServerRefusedError, match="refuses the key") as wrong:
            OpenAIBackend.open(f"small@{server.url}")
        monkeypatch.setenv("MY_KEY", secret)
        backend = OpenAIBackend.open(f"small@{server.url}", key_env="MY_KEY")
        ask.run(word="x", backend=backend)
        said = f"{none.value}{wrong.value}{caplog.text}{backend!r}{backend._options!r}"
        assert secret not in said and "sk-wrong" not in said


@pytest.mark.parametrize(("kind", "oldest"), [("vllm", "0.12"), ("sglang", "0.4")])
def test_versions_that_are_too_old_are_named(kind: str, oldest: str) -> None:
    with (
        SpecServer(kind, version="0.3.1").running() as server,
        pytest.raises(ServerTooOldError, match=f"{kind} 0.3.1, and {oldest} is the oldest"),
    ):
        OpenAIBackend.open(f"small@{server.url}")


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000",
        "the request exceeds the available context size. try increasing it",
        "`inputs` tokens + `max_new_tokens` must be <= 4096: the prompt is too long",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    ],
)
def test_servers_say_too_long_in_many_ways(said: str) -> None:
    body = f'{{"error": {{"message": "{said}"}}}}'.encode()
    assert isinstance(status_error(400, body, "http://x"), PromptTooLongError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


def test_the_model_may_be_left_out_where_there_is_one() -> None:
    with SpecServer("openai").running() as server:
        backend = open_backend(f"openai:{server.url}")
        assert backend.name == "small"
        far = OpenAIBackend.open("some/model@http://127.0.0.1:1/v1", probe=False)
        assert far.name == "some/model" and far.why_text == "not probed"
