"""Evaluate a run and make it the shipped model: `python -m examples.demo_world.ship`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from examples.demo_world.answerer import Answerer
from examples.demo_world.batches import dev_batch
from examples.demo_world.cases import TASKS, make_cases
from examples.demo_world.evaluate import SHIPPED, count, read, table
from examples.demo_world.model import write_checksums
from examples.demo_world.stages import STAGES
from examples.demo_world.tokenizer import Encoder
from examples.demo_world.ways import answer

CARD = """# The demo model of Ramify

A tiny language model for an invented world. It answers questions about made-up towns from the
passages in its prompt, and nothing else: it is a demonstration and a test instrument, so that a
fresh machine can run the whole pipeline and every answer can be checked by comparing strings. For
real work name a real model instead.

- **Shape**: Llama, width {width}, {layers} layers, {heads} query and {shared} key-value heads of
  {head}, {parameters:.2f}M parameters, bf16, context {context} tokens (training saw at most
  {length}). Byte-level BPE, {vocab} tokens.
- **Data**: `examples/demo_world`, seed {seed}; training, test and shipped towns share no name.
- **Training**: `python -m examples.demo_world.train --device cpu --minutes {minutes:.0f}`; {steps}
  steps, {tokens:.1f}M tokens, {minutes:.0f} processor minutes on one thread of a busy two-core CPU,
  bf16 matrix products, last stage `{stage}`.
- **Evaluation**: `python -m examples.demo_world.evaluate --cases {cases}`; unseen towns, greedy,
  plain transformers, float32 arithmetic over the bf16 weights.

{table}

"Facts right" counts values that stand in the answer, whole and exact; "whole answer exact" wants
the very text, citation included. "By graph": a plan by the model, each part over the one passage
that fits it best (shared rare words), and the last part's answer. "Fork tokens": headings by the
parent, details by its children. Level 1 is what the first demo needs; level 2 is the longer aim.
Rows without a bar are there to be compared.

## Limits

{limits}

## Format

`<|role|>`, one space, content, `<|end|>` per message (the chat template does it); the model goes on
after `<|assistant|>`. Passages are lines `[n] text`. Encode text from outside with
`split_special_tokens=True`. `CHECKSUMS` holds the sha256 of every file;
`ramify.demo.world.model_path()` checks them.
"""


def card(folder: Path, log: Path, rows: str, limits: str, cases: int, seed: int) -> str:
    """The model card of an exported folder; the last line of `log` says how far the run went."""
    model = LlamaForCausalLM.from_pretrained(folder)
    config = model.config
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    (stage,) = (stage for stage in STAGES if stage.name == last["stage"])
    encoder = Encoder(AutoTokenizer.from_pretrained(folder))
    shapes = [dev_batch(encoder, kind, 4096).shape for kind in stage.kinds]
    longest = max(shape.prefix + shape.length for shape in shapes)
    return CARD.format(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        shared=config.num_key_value_heads,
        head=config.head_dim,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        context=config.max_position_embeddings,
        length=longest,
        vocab=config.vocab_size,
        steps=last["step"],
        tokens=last["tokens"] / 1e6,
        minutes=last["minutes"],
        stage=last["stage"],
        seed=seed,
        cases=cases,
        table=rows,
        limits=limits.strip(),
    )


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--run", type=Path, default=Path("runs/demo_model"))
    cli.add_argument("--out", type=Path, default=SHIPPED)
    cli.add_argument("--cases", type=int, default=500)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--limits", type=Path, default=Path(__file__).parent / "limits.md")
    cli.add_argument(
        "--counts", type=Path, nargs="*", default=[], help="measured already: evaluate --out"
    )
    args = cli.parse_args()
    torch.set_num_threads(1)
    source = args.run / "model"
    AutoTokenizer.from_pretrained(source)  # a run without an exported model stops here
    counts = [row for path in args.counts for row in read(path)]
    if not counts:
        answerer = Answerer(source)
        for task in TASKS:
            cases = make_cases(task, 7, args.cases)
            counts.append(count(task, cases, answer(answerer, task, cases)))
            print(table(counts[-1:]).splitlines()[-1], flush=True)
    counts.sort(key=lambda row: TASKS.index(row.task))
    shutil.copytree(source, args.out, dirs_exist_ok=True)
    limits = args.limits.read_text(encoding="utf-8")
    text = card(source, args.run / "log.jsonl", table(counts), limits, args.cases, args.seed)
    (args.out / "README.md").write_text(text, encoding="utf-8")
    write_checksums(args.out)
    print(f"shipped to {args.out}")


if __name__ == "__main__":
    main()
