"""Folders that cannot be used are refused, with the reason."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ramify.backend.radix import families, fused, hf_body, loading
from ramify.backend.radix.attention import context
from ramify.backend.radix.self_test import SelfTest
from ramify.errors import ModelLoadError
from tests.backend.radix.harness import CPU
from tests.backend.radix.harness import load as load_tiny
from tests.backend.radix.models import config, tiny


def load(folder: Path, dtype: str = "auto") -> Any:
    hf_body.register_attention()
    return loading.load_model(
        folder, device="cpu", dtype=dtype, remote_code=False, attention=hf_body.ATTENTION
    )[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("llama"), tmp_path / "model"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_it_loads_in_the_dtype_asked_for(folder: Path) -> None:
    assert load(folder).dtype == torch.float32
    assert load(folder, "bfloat16").dtype == torch.bfloat16
    assert not load(folder).training


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        load(tmp_path)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match=r"no weights.*pytorch_model.bin, which are not read"):
        load(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelLoadError, match=r"not a whole safetensors file"):
        load(folder)


def test_a_missing_shard(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match=r"model-2\.safetensors missing"):
        load(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.self_attn.k_proj.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"1 tensors .* missing: .*layers.1.self_attn.k_proj"):
        load(folder)


def test_weights_of_another_shape(folder: Path) -> None:
    change_config(folder, intermediate_size=80)
    with pytest.raises(ModelLoadError, match=r"6 tensors .* another shape: .*mlp.down_proj"):
        load(folder)


def test_a_folder_that_is_neither_here_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*_: Any, **__: Any) -> str:
        raise OSError("no connection\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelLoadError, match=r"'some/model' is no folder.*no connection\)"):
        loading.find_folder("some/model")
    monkeypatch.undo()
    with pytest.raises(ModelLoadError, match="is no folder"):
        loading.find_folder("/not/a/folder/at all")


def test_a_hub_name_reads_safetensors_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert loading.find_folder("some/model") == folder
    assert asked[0][0] == "some/model"
    assert not [p for p in asked[0][1] if "bin" in p or "py" in p or "pt" in p]


RECURRENT = (
    "mamba mamba2 falcon_mamba jamba bamba zamba zamba2 rwkv xlstm recurrent_gemma qwen3_next "
    "qwen3_5_text nemotron_h falcon_h1 granitemoehybrid kimi_linear"
)
WITHOUT_INTERFACE = "falcon stablelm gptj codegen bloom mpt gpt_neo xglm biogpt"
REFUSED = [
    *((family, "it is recurrent") for family in RECURRENT.split()),
    *((family, "does not use transformers' attention interface")
      for family in WITHOUT_INTERFACE.split()),
    ("minimax", "layers of kind linear_attention"),
    ("llama4_text", "layers of kind chunked_attention"),
    ("nemotron", "does not hand on"),
    ("diffllama", "more than once"),
    ("doge", "a mask of its own"),
    ("bert", "attention in both directions"),
    ("t5", "it has an encoder"),
    ("clip", "no causal language model"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "why"), REFUSED)
def test_families_that_cannot_run_are_refused_by_name(family: str, why: str) -> None:
    from transformers import CONFIG_MAPPING

    with pytest.raises(ModelLoadError, match=rf"'{family}' cannot run in the radix.*{why}"):
        families.model_class(CONFIG_MAPPING[family](), remote_code=False)


def test_short_convolutions_are_refused() -> None:
    from transformers import Lfm2Config

    kinds = ["conv", "full_attention"]
    with pytest.raises(ModelLoadError, match=r"'lfm2' cannot run.* layers of kind conv"):
        families.model_class(Lfm2Config(num_hidden_layers=2, layer_types=kinds), remote_code=False)


def test_a_family_is_refused_before_its_weights_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_read", lambda *_, **__: pytest.fail("weights were read"))
    (folder / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(ModelLoadError, match="'mamba' cannot run in the radix engine"):
        load(folder)


def test_unknown_kinds_of_layers_are_refused() -> None:
    other = config("qwen3", layer_types=["full_attention", "chunked_attention"])
    with pytest.raises(ModelLoadError, match="chunked_attention"):
        families.model_class(other, remote_code=False)


def test_code_in_the_folder_is_not_run(folder: Path) -> None:
    change_config(folder, model_type="own", auto_map={"AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ModelLoadError, match=r"config .* cannot be read"):
        load(folder)


def test_rope_that_switches_bounds_the_context() -> None:
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0,
        "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
        "original_max_position_embeddings": 128,
    }  # fmt: skip
    original = {"original_max_position_embeddings": 128}
    assert families.context_of(config("phi3", rope_parameters=rope, **original)) == 128
    assert families.context_of(config("phi3")) == 512


def test_the_self_test_finds_an_attention_that_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = load_tiny("llama")
    test = SelfTest(broken, CPU)
    layer = broken.model.layers[1].self_attn
    monkeypatch.setattr(layer, "forward", lambda hidden_states, **_: (hidden_states, None))
    with pytest.raises(ModelLoadError, match=r"2 layers, but .* are \[0\]"):
        test.run(hf_body.HFBody(broken))


def test_the_self_test_finds_wrong_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "attend", lambda query, *_, **__: query)
    model = load_tiny("llama")
    with pytest.raises(ModelLoadError, match=r"logits of LlamaForCausalLM .* are off by"):
        SelfTest(model, CPU).run(hf_body.HFBody(model))


def test_attention_refuses_a_meaning_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_tiny("llama")
    layer = model.model.layers[0].self_attn
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda *a, **k: forward(*a, head_mask=1.0, **k))
    with pytest.raises(ModelLoadError, match="LlamaAttention asks for head_mask"):
        SelfTest(model, CPU).run(hf_body.HFBody(model))


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_body_passes_the_self_test(family: str, dtype: torch.dtype) -> None:
    model = load_tiny(family).to(dtype)
    assert fused.can_fuse(model)
    test = SelfTest(model, CPU)
    assert test.run(hf_body.HFBody(model)) == 2 * 2 * 2 * 16 * dtype.itemsize
    test.run(fused.FusedBody(model, context=64))


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "phi3", "gpt_oss"])
def test_other_families_are_not_fused(family: str) -> None:
    assert not fused.can_fuse(load_tiny(family))


def test_models_may_be_opened_at_the_same_time() -> None:
    folders = [tiny("gpt2"), tiny("llama"), tiny("gpt2"), tiny("llama")]
    with ThreadPoolExecutor(len(folders)) as threads:
        for _ in range(3):
            found = threads.map(load, folders)
            assert [type(model).__name__[:4] for model in found] == ["GPT2", "Llam"] * 2
    model = load(folders[0])  # transformers is as it was: tied weights are tied
    assert model.lm_head.weight is model.transformer.wte.weight
