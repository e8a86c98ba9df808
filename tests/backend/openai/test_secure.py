"""TLS with a certificate of one's own, and HTTP/2."""

from __future__ import annotations

import importlib.util
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.openai import OpenAIBackend
from ramify.errors import BackendError, ServerUntrustedError
from tests.backend.openai.spec_server import SpecServer

H2 = importlib.util.find_spec("h2") is not None


@rf.program
def ask(s: rf.State, word: str) -> Any:
    s += rf.user(word)
    s += rf.assistant(rf.gen("a", max_tokens=12))
    return s["a"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate that it has signed itself."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("openssl is not installed here")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [tool, *made, "-keyout", str(key), "-out", str(certificate), *names]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


def context(own: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(own, own.with_name("key.pem"))
    return made


def test_a_certificate_of_ones_own_is_refused_by_name_and_trusted_by_its_file(own: Path) -> None:
    with SpecServer("openai", tls=context(own)).running() as server:
        with pytest.raises(ServerUntrustedError, match=r"self.signed.*ca_file="):
            OpenAIBackend.open(f"small@{server.url}")
        blind = OpenAIBackend.open("small@" + server.url, probe=False, backoff_s=9.0)
        with pytest.raises(ServerUntrustedError, match=r"node 'ask/a'"):  # at once: no other try
            ask.run(word="x", backend=blind)
        trusting = OpenAIBackend.open(f"small@{server.url}", ca_file=str(own))
        assert ask.run(word="x", backend=trusting).text
        careless = OpenAIBackend.open(f"small@{server.url}", verify="false")
        assert ask.run(word="x", backend=careless).text
        other = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(ServerUntrustedError, match="localhost"):  # another's certificate
            OpenAIBackend.open(f"small@{other}", ca_file=str(own))


@pytest.mark.parametrize("made", ["", "no certificate"])
def test_a_ca_file_that_cannot_be_read_is_named(made: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if made:
        path.write_text(made)
    with pytest.raises(BackendError, match=r"ca_file=.*ca.pem' cannot be read"):
        OpenAIBackend.open("small@https://127.0.0.1:1/v1", ca_file=str(path))


@pytest.mark.skipif(H2, reason="h2 is installed here")
def test_http2_without_its_package_is_named() -> None:
    with pytest.raises(BackendError, match=r"http2=true needs a package.*httpx\[http2\]"):
        OpenAIBackend.open("small@https://127.0.0.1:1/v1", http2="true")


@pytest.mark.skipif(not H2, reason="h2 is not installed here: pip install 'httpx[http2]'")
def test_requests_share_one_connection_by_http2(
    own: Path, tokenizer: HFTokenizer, folder: Path
) -> None:
    from tests.backend.openai.h2_front import H2Front

    rows = [{"word": f"word {i}"} for i in range(20)]
    with SpecServer(tokenizer=tokenizer, delay=0.002).running() as server:
        plain = OpenAIBackend.open(f"small@{server.url}", tokenizer=str(folder))
        right = [result.text for result in ask.run_batch(rows, backend=plain)]
        with H2Front(server.url.removesuffix("/v1"), context(own)).running() as front:
            backend = OpenAIBackend.open(
                f"small@{front.url}", tokenizer=str(folder), http2="true", ca_file=str(own)
            )
            before = front.connections  # of the questions at the start
            found = ask.run_batch(rows, backend=backend, concurrency=20)
            said = [e.text for e in ask.stream(word="word 3", backend=backend) if e.kind == "delta"]
            assert [result.text for result in found] == right
            assert "".join(said) == right[3]
            assert front.connections == before + 1 and front.streams > 20
