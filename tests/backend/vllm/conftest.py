"""Random models, what plain transformers says with them, and a real vLLM (`make test-vllm`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.serving import SETTINGS, vllm_server
from ramify.runtime import run_sync

pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

ENGINE = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 1024,
    "max_num_seqs": 32,
    "max_num_batched_tokens": 256,
    "distributed_executor_backend": "uni",
}
TOKENS = 24


@dataclass(frozen=True)
class Model:
    """A model's folder, 24 prompts, and the greedy tokens of plain transformers in float32."""

    folder: Path
    prompts: list[tuple[int, ...]]
    greedy: list[list[int]]


def make(kind: str, folder: Path) -> Model:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    from benchmarks.harness.models import make_tokenizer

    tokenizer = make_tokenizer(2048)
    sizes: dict[str, Any] = {
        "num_hidden_layers": 4,
        "hidden_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 352,
        "vocab_size": 2048,
        "max_position_embeddings": 1024,
        "initializer_range": 0.15,  # wide enough that greedy output is varied
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(7)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**sizes))
    model = model.float().eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    numbers = torch.Generator().manual_seed(1)
    common = torch.randint(0, 2000, (200,), generator=numbers).tolist()
    prompts, greedy = [], []
    for i in range(24):
        own = torch.randint(0, 2000, (3 + 2 * i,), generator=numbers).tolist()
        prompts.append((*common, *own))
        with torch.no_grad():
            wrote = model.generate(
                torch.tensor([prompts[-1]]),
                attention_mask=torch.ones(1, len(prompts[-1]), dtype=torch.long),
                do_sample=False,
                max_new_tokens=TOKENS,
            )[0, len(prompts[-1]) :].tolist()
        greedy.append(wrote[:-1] if wrote[-1] == tokenizer.eos_token_id else wrote)
    return Model(folder, prompts, greedy)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    made: dict[str, Model] = {}

    def one(kind: str) -> Model:
        if kind not in made:
            made[kind] = make(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return one


@contextmanager
def in_process(found: Model, **options: Any) -> Iterator[Any]:
    from ramify.backend.vllm import VLLMBackend

    os.environ.update(SETTINGS)
    backend = VLLMBackend.open(str(found.folder), **ENGINE | options)
    try:
        yield backend
    finally:
        run_sync(backend.close())


@contextmanager
def served(found: Model, **options: Any) -> Iterator[str]:
    """The address of vLLM's own server."""
    with vllm_server(Path(sys.executable), found.folder, **ENGINE | options) as server:
        yield server.url
