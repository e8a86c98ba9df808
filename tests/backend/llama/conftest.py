"""A real llama-server with a random model; LLAMA_SERVER names the program (`make test-llama`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.harness.server import free_port, running

pytest.importorskip("gguf", reason="gguf is not installed here: make test-llama")
PROGRAM = os.environ.get("LLAMA_SERVER", "")
CONTEXT = 1024
SLOTS = 4


@dataclass(frozen=True)
class Served:
    """A model's folder, and where it is served."""

    folder: Path
    url: str


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    if not PROGRAM:
        pytest.skip("LLAMA_SERVER names no llama-server: make test-llama")
    from benchmarks.harness.models import LlamaShape, random_llama
    from benchmarks.peers.gguf_model import convert

    shape = LlamaShape(
        layers=4,
        hidden=128,
        heads=4,
        kv_heads=2,
        intermediate=352,
        vocab=2048,
        context=CONTEXT,
        dtype="float32",
    )
    folder = random_llama(shape)
    port = free_port()
    command = [PROGRAM, "--model", str(convert(folder, vocab=True)), "--alias", "small"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    command += ["--ctx-size", str(SLOTS * CONTEXT), "--parallel", str(SLOTS), "--embeddings"]
    # exact: neither the cache nor attention in half precision
    command += ["--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"]
    command += ["--pooling", "mean"]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/v1", f"{address}/health") as server:
        yield Served(folder, server.url)
