"""Random models: made once, the same every time, loadable as any other model folder."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmarks.harness import models  # noqa: E402
from benchmarks.harness.models import LlamaShape, make_tokenizer, random_llama  # noqa: E402

TINY = LlamaShape(
    layers=2, hidden=32, heads=2, kv_heads=1, intermediate=48, vocab=400, dtype="float32"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_tokenizer_has_exactly_the_vocabulary_and_keeps_any_text() -> None:
    tokenizer = make_tokenizer(4096)
    assert len(tokenizer) == 4096
    assert tokenizer.eos_token_id == 4095
    text = "The harbour, 1897: café ☕\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == text


def test_same_shape_same_weights_and_no_half_made_folder(cache: Path) -> None:
    folder = random_llama(TINY)
    assert random_llama(TINY) == folder
    assert [path.name for path in (cache / "ramify-benchmarks").iterdir()] == [folder.name]
    first = (folder / "model.safetensors").read_bytes()
    models.shutil.rmtree(folder)
    assert (random_llama(TINY) / "model.safetensors").read_bytes() == first


def test_parameters_are_those_that_a_token_is_multiplied_with(cache: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(random_llama(TINY))
    counted = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and "embed" not in name
    )
    assert TINY.matmul_parameters == counted
