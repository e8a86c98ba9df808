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
from examples.demo_world.tokenizer import CONTEXT, END, PAD, VOCAB

FAST, SLOW = 0.1, 0.01  # radians per token: what tells neighbours apart, what spans a passage
MATCH = 1.3  # how sharply equal tokens find each other
SHIPPED = Path(__file__).parents[2] / "ramify" / "demo" / "model"


def build(seed: int, fast: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh model of 2.5M parameters: width 192, 5 layers, 4 query and 2 key-value heads."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=192,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=512,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        bos_token_id=None,
        eos_token_id=fast.convert_tokens_to_ids(END),
        pad_token_id=fast.convert_tokens_to_ids(PAD),
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    start_copying(model)
    return model


@torch.no_grad()
def start_copying(model: LlamaForCausalLM) -> None:
    """Start with the circuits that copy: answers are found in the prompt, not known by heart.

    Tokens, the tokens before them and those before these live in three subspaces of the stream.

    - First layer: two heads look one and two tokens back and write what they find into the second
      and the third subspace. All embeddings share one direction; queries and keys read it alone,
      turned so that rotary positions give the peak at that distance.
    - Layers above: two heads look for what stood behind the last token, or the last two, when they
      stood before (induction heads, Olsson et al. 2022), and pass it on to the output, whose rows
      point the way embeddings do. A third looks for equal tokens (mimetic initialization, Trockman
      and Kolter 2023). They compare in the slow rotary dimensions only, so that distance does not
      matter.

    The other heads start at random.
    """
    config = model.config
    width, head = config.hidden_size, config.head_dim
    basis = torch.linalg.qr(torch.randn(width, width))[0]
    shared, own, last, before = basis.split([1, head, head, width - 1 - 2 * head], 1)
    before = torch.nn.functional.pad(before, (0, head - before.shape[1]))
    tokens = 4.0 * torch.nn.functional.normalize(torch.randn(config.vocab_size, head)) @ own.T
    model.model.embed_tokens.weight.copy_(tokens + 1.5 * shared.T)
    model.lm_head.weight.copy_(0.1 * tokens)
    theta = float(config.rope_parameters["rope_theta"])
    frequency = theta ** -(torch.arange(0, head, 2).float() / head)
    slow = (frequency < SLOW).repeat(2).nonzero()[:, 0]
    for depth, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        query = attention.q_proj.weight.view(-1, head, width)
        key = attention.k_proj.weight.view(-1, head, width)
        out = attention.o_proj.weight[:, : 2 * head].view(width, 2, head)
        attention.v_proj.weight[:head] = own.T
        if depth == 0:
            fast = (frequency > FAST).float()
            key[0] = torch.cat([fast, 0 * fast])[:, None] * shared.T
            for back in (1, 2):
                turned = [fast * (back * frequency).cos(), -fast * (back * frequency).sin()]
                query[back - 1] = torch.cat(turned)[:, None] * shared.T
                out[:, back - 1] = 0.3 * (last, before)[back - 1]
            continue
        equal, follows, second = (
            MATCH * torch.linalg.qr(torch.randn(head, len(slow)))[0].T for _ in range(3)
        )
        key[0, slow] += follows @ last.T + second @ before.T
        query[0, slow] += follows @ own.T
        query[1, slow] += follows @ own.T + second @ last.T
        out[:] = 0.3 * own[:, None]
        key[1, slow] += equal @ own.T
        query[2, slow] += equal @ own.T


def answers_loss(lean: Lean, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted sum of the losses of a batch, the sum of the weights, and which answers [answers]
    are exact when teacher-forced.

    An answer is exact when every token is the most likely one, which is when greedy decoding
    writes it.
    """
    model = lean.model
    x = lean(batch.shape, batch.ids, batch.position, batch.prefix_mask, batch.branch_mask)
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
