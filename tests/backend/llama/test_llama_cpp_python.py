"""The `openai` backend against llama-cpp-python's server, a kind of which nothing is known."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from benchmarks.harness.server import free_port, running
from ramify.backend.openai import OpenAIBackend
from ramify.errors import PromptTooLongError
from ramify.runtime import run_sync

for needed in ("gguf", "llama_cpp", "sse_starlette"):
    pytest.importorskip(needed, reason=f"{needed} is not installed here: make test-llama")


@pytest.fixture(scope="module")
def backend() -> Iterator[OpenAIBackend]:
    from benchmarks.harness.models import LlamaShape, random_llama
    from benchmarks.peers.gguf_model import convert

    small = {"hidden": 64, "heads": 4, "kv_heads": 2, "intermediate": 96, "vocab": 1024}
    folder: Path = random_llama(LlamaShape(layers=1, context=512, dtype="float32", **small))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "llama_cpp.server",
        "--model",
        str(convert(folder, vocab=True)),
    ]
    command += ["--model_alias", "small", "--port", str(port), "--n_ctx", "256"]
    command += ["--n_threads", "1", "--chat_format", "chatml"]
    command += ["--interrupt_requests", "false"]  # it breaks off an answer for the next request
    url = f"http://127.0.0.1:{port}/v1"
    with running(command, url, f"{url}/models"):
        made = OpenAIBackend.open(f"small@{url}", connections=1)
        yield made
        run_sync(made.close())


@rf.program
def talk(s: rf.State, question: str) -> Any:
    s += rf.system("be short")
    s += rf.user(question)
    s += rf.assistant(rf.gen("a", max_tokens=8))
    for branch in s.fork(2):
        branch += rf.user("more")
        branch += rf.assistant(rf.gen("more", choices=["good", "bad"]))
    s += rf.user("and")
    form = {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}
    s += rf.assistant(rf.gen("json", schema=form, max_tokens=40))
    return s["json"]


def test_what_it_can_is_found_out_and_used(backend: OpenAIBackend) -> None:
    assert backend.why_text and backend.capabilities.constraints == {"schema", "choices"}
    result = talk.run("the harbour", backend=backend)
    assert isinstance(json.loads(result.text.replace("'", '"').lower())["b"], bool)
    assert result.usage.prompt_tokens > 0
    with talk.stream("the harbour", backend=backend) as stream:
        said = "".join(e.text for e in stream if e.kind == "delta" and e.name == "a")
        assert said == str(stream.result()["a"])
    with pytest.raises(PromptTooLongError):
        talk.run("harbour " * 300, backend=backend)
