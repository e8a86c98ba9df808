"""The demo model's shape, its loss, and the folder it is shipped as."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from examples.demo_world import tokenizer
from examples.demo_world.batches import Batch
from examples.demo_world.kernels import HALF, norm
from examples.demo_world.lean import Lean
from examples.demo_world.probes import Probes
from examples.demo_world.start import start
from examples.demo_world.tokenizer import CONTEXT, END, PAD, VOCAB

SHIPPED = Path(__file__).parents[2] / "ramify" / "demo" / "model"


def build(seed: int, fast: PreTrainedTokenizerFast) -> tuple[LlamaForCausalLM, Probes]:
    """A fresh model of 3.6M parameters (width 192, 6 layers, 6 query and 3 key-value heads), and
    the probes that it is trained with."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=64,
        intermediate_size=512,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        bos_token_id=None,
        eos_token_id=fast.convert_tokens_to_ids(END),
        pad_token_id=fast.convert_tokens_to_ids(PAD),
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    signs = [fast.convert_tokens_to_ids(sign) for sign in "<=>"]
    return model, Probes(start(model, fast), signs)


def answers_loss(
    lean: Lean, batch: Batch, taps: list[torch.Tensor] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted sum of the losses of a batch, the sum of the weights, and which answers [answers]
    are exact when teacher-forced.

    An answer is exact when every token is the most likely one, which is when greedy decoding
    writes it.
    """
    model = lean.model
    x = lean(batch.shape, batch.ids, batch.position, batch.prefix_mask, batch.branch_mask, taps)
    kept = (batch.loss > 0).nonzero()[:, 0]
    hidden = norm(x[kept], model.model.norm.weight, lean.eps)
    logits = F.linear(hidden, model.lm_head.weight.to(HALF)).float()
    target, weight, answer = batch.target[kept], batch.loss[kept], batch.answer[kept]
    losses = F.cross_entropy(logits, target, reduction="none")
    wrong = (logits.detach().argmax(-1) != target)[answer >= 0]
    where = answer[answer >= 0]
    missed = torch.zeros(int(answer.max()) + 1, device=x.device)
    missed.index_add_(0, where, wrong.float())
    return (losses * weight).sum(), weight.sum(), missed == 0


def write_checksums(folder: Path) -> None:
    """CHECKSUMS: one line "sha256  name" per file of the folder, as sha256sum writes them."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in files
        if path.name != "CHECKSUMS"
    ]
    (folder / "CHECKSUMS").write_text("".join(lines), encoding="utf-8")


def export(
    model: LlamaForCausalLM, fast: PreTrainedTokenizerFast, folder: Path, card: str | None = None
) -> None:
    """Write an ordinary Hugging Face folder, bf16 weights, with checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)
    copy.config.use_cache = True
    copy.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=128,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(folder)
    copy.config.use_cache = False
    tokenizer.save(fast, folder)
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)
    write_checksums(folder)
