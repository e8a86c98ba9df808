"""Nothing assumes a CPU: the reference path, on the device that RAMIFY_TEST_DEVICE names.

    RAMIFY_TEST_DEVICE=cuda python -m pytest tests/backend/radix/test_device.py

On a CPU this runs what another device would run: reference attention, transformers' modules or the
fused ones over torch's operators, no kernel of oneDNN. What needs another device to be seen, a
tensor that was left behind on the CPU, a walk through the source looks for.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ramify.backend.contract import TokenPrompt, VectorSpan
from ramify.backend.radix import devices, int8
from ramify.backend.radix.attention import reference
from ramify.backend.radix.cache import Cache
from ramify.backend.radix.devices import open_device
from ramify.backend.radix.engine import Engine
from ramify.backend.radix.fused import FusedBody
from ramify.backend.radix.hf_body import ATTENTION, HFBody, register_attention
from ramify.backend.radix.int8 import quantize_modules
from ramify.backend.radix.loading import load_model
from ramify.backend.radix.model import LanguageModel
from ramify.backend.radix.options import RadixOptions
from ramify.backend.radix.pool import KVPool
from ramify.backend.radix.scheduler import Scheduler
from ramify.backend.radix.setup import assemble
from ramify.errors import BackendError
from ramify.ir import Vectors
from tests.backend.radix.harness import generation, greedy, plain, run
from tests.backend.radix.models import VOCAB, tiny

DEVICE = torch.device(os.environ.get("RAMIFY_TEST_DEVICE", "cpu"))
RADIX = Path(devices.__file__).parent
FACTORIES = {
    "arange", "as_tensor", "empty", "eye", "from_numpy", "full", "linspace", "ones", "rand",
    "randn", "tensor", "zeros",
}  # fmt: skip


def engine(family: str, *, fused: bool, quantize: str = "none") -> Engine:
    register_attention()
    model, _ = load_model(
        tiny(family), device=str(DEVICE), dtype="float32", remote_code=False, attention=ATTENTION
    )
    if quantize != "none" and not fused:
        quantize_modules(model, head=True)
    body = FusedBody(model, context=512, quantize=quantize) if fused else HFBody(model)
    language = LanguageModel(body, KVPool(300, DEVICE), context=512, pays=8)
    language._kernel = reference.partial
    return Engine(language, Scheduler(Cache(300), budget=23, max_batch=4))


def asked() -> list[list[int]]:
    rng = np.random.default_rng(8)
    trunk = rng.integers(3, VOCAB, 40).tolist()
    return [[*trunk, *rng.integers(3, VOCAB, n).tolist()] for n in (1, 4, 30)]


@pytest.mark.parametrize(
    ("family", "fused"),
    [("llama", True), ("qwen3", True), ("llama", False), ("gemma2", False), ("gpt_oss", False),
     ("gpt2", False), ("qwen3_moe", False)],
)  # fmt: skip
def test_answers_are_those_of_transformers(family: str, fused: bool) -> None:
    made = engine(family, fused=fused)
    jobs = [generation(ids, 6, logprobs=2) for ids in asked()]
    jobs.append(generation(asked()[0], 6, temperature=1.0, top_p=0.9, repetition_penalty=1.2))
    for job in jobs:
        made.submit(job)
    run(made, check=True)
    assert [job.sink.ids for job in jobs[:3]] == [greedy(family, ids, 6) for ids in asked()]
    assert len(jobs[3].sink.ids) == 6


def test_vectors_get_to_the_device() -> None:
    table = plain("llama").get_input_embeddings().weight.detach()
    ids = asked()[0]
    spans = (VectorSpan(4, Vectors.of(table[ids[4:9]])),)
    made = engine("llama", fused=True)
    job = generation(TokenPrompt(tuple(ids)).ids, 6, vectors=spans)
    made.submit(job)
    run(made)
    assert job.sink.ids == greedy("llama", ids, 6)


def test_int8_without_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for kernel in (int8.has_kernel(), False):
        monkeypatch.setattr(int8, "has_kernel", lambda kernel=kernel: kernel)
        made = engine("llama", fused=True, quantize="int8")
        jobs = [generation(ids, 6) for ids in asked()]
        for job in jobs:
            made.submit(job)
        run(made)
        found.append([job.sink.ids for job in jobs])
    assert found[0] == found[1]


def test_a_device_that_is_not_there_is_refused_first() -> None:
    for name in ("cuda", "cuda:3"):
        if not torch.cuda.is_available():
            why = rf"'{name}' is not available: torch .*(without CUDA|finds none)"
            with pytest.raises(BackendError, match=why):
                assemble(tiny("llama"), RadixOptions(device=name))
    with pytest.raises(BackendError, match=r"'gpu' is no device.*cpu, cuda"):
        open_device("gpu")
    with pytest.raises(BackendError, match="'meta' cannot run a model"):
        open_device("meta")
    assert open_device("cpu").type == "cpu"


def _left_behind(path: Path) -> list[str]:
    """Tensors that are made without a device and not moved in the same expression, and results
    that become numpy arrays without coming to the CPU."""
    tree = ast.parse(path.read_text("utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def moved(node: ast.AST) -> bool:
        while isinstance(node, ast.expr):
            up = parents[node]
            if isinstance(up, ast.Attribute) and up.attr in ("to", "type_as"):
                return True
            node = up
        return False

    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        made = isinstance(owner, ast.Name) and owner.id == "torch" and name in FACTORIES
        if made and not any(k.arg == "device" for k in node.keywords) and not moved(node):
            found.append(f"{path.name}:{node.lineno} torch.{name}")
        if name == "numpy" and ".cpu()" not in ast.unparse(owner):
            found.append(f"{path.name}:{node.lineno} .numpy()")
    return found


def test_no_tensor_is_left_on_the_cpu() -> None:
    # compiled kernels run on CPUs only; files are written and read through the CPU
    files = [
        path for path in sorted(RADIX.rglob("*.py"))
        if path.parent.name != "native" and path.name != "saved.py"
    ]  # fmt: skip
    assert len(files) > 30
    assert [where for path in files for where in _left_behind(path)] == []


def test_the_walk_finds_what_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        "a = torch.zeros(3)\n"
        "b = torch.from_numpy(x).to(device)\n"
        "c = torch.arange(3, device=d)\n"
        "d = c.numpy()\n"
        "e = c.cpu().numpy()\n"
    )
    assert _left_behind(path) == ["wrong.py:1 torch.zeros", "wrong.py:4 .numpy()"]


def test_no_device_is_written_into_the_code() -> None:
    named: list[Any] = []
    for path in RADIX.rglob("*.py"):
        if path.parent.name == "native" or path.name in ("devices.py", "options.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "device":
                if isinstance(node.value, ast.Constant):
                    named.append((path.name, node.value.value))
            elif isinstance(node, ast.Attribute) and node.attr == "cuda":
                named.append((path.name, "torch.cuda"))
    assert named == []
