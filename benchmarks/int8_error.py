"""Int8 weights: what the rounding does to the logits of trained models.

The models that are here with trained weights, on text that they wrote themselves (temperature 1),
against float32: differences of logits, the divergence of the next token, and how often the
likeliest token is the same. Ratios: the share of tokens whose likeliest one is the same with
bfloat16 and int8, over that with bfloat16 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Options, Report

ROOT = Path(__file__).parents[1]
TRAINED = {
    "demo": ROOT / "ramify" / "demo" / "model",
    "stories260K": ROOT.parent / "shared" / "models" / "stories260K",
}
SAME = "top1_same_%"


def errors(name: str, folder: Path, tokens: int) -> list[Mapping[str, Any]]:
    """What bfloat16 and int8 do to the logits of a trained model."""
    import torch
    from transformers import AutoModelForCausalLM

    from ramify.backend.radix.int8 import quantize_modules

    def load(dtype: Any, head: bool | None = None) -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        if head is not None:
            quantize_modules(model, head=head)
        return model

    exact = load(torch.float32)
    start = exact.generation_config.bos_token_id or exact.config.bos_token_id or 1
    torch.manual_seed(0)
    with torch.inference_mode():
        text = exact.generate(
            torch.full((8, 1), start), attention_mask=torch.ones(8, 1).long(), do_sample=True,
            max_new_tokens=tokens, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        want = exact(text).logits
        rows: list[Mapping[str, Any]] = []
        for weights, model in (
            ("bf16", load(torch.bfloat16)),
            ("int8 over fp32", load(torch.float32, True)),
            ("int8 over bf16", load(torch.bfloat16, True)),
            ("int8-layers over bf16", load(torch.bfloat16, False)),
        ):
            found = model(text).logits.float()
            off = (found - want).abs()
            same = found.argmax(-1) == want.argmax(-1)
            divergence = (want.softmax(-1) * (want.log_softmax(-1) - found.log_softmax(-1))).sum(-1)
            rows.append(
                {
                    "model": name,
                    "weights": weights,
                    "logits_max_off": float(off.max()),
                    "logits_mean_off": float(off.mean()),
                    "kl": float(divergence.mean()),
                    SAME: 100 * float(same.float().mean()),
                }
            )
    return rows


def run(options: Options) -> Report:
    """Measure every trained model that is here."""
    rows: list[Mapping[str, Any]] = []
    ratios: dict[str, float] = {}
    for name, folder in TRAINED.items():
        if not folder.is_dir():
            continue
        found = errors(name, folder, 16 if options.quick else 120)
        same = {row["weights"]: row[SAME] for row in found}
        ratios[f"{name}_top1"] = same["int8 over bf16"] / same["bf16"]
        rows += found
    return Report("int8_error", rows, ratios)
