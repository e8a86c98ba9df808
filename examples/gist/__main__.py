"""Train a gist head for a model of your own: `python -m examples.gist MODEL ROWS.jsonl`.

Each line of the file is {"passage": ..., "question": ..., "answer": ...}; passages should be such
as the program will compress, and the answers such as the model gives when it reads the passage as
text. One row in twenty is kept for the checks. `--put` puts the best head measured into the model's
folder.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from examples.gist.rows import Rows, read_rows
from examples.gist.run import Plan, Run
from ramify.backend.radix.gist.head import PLACE


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("model", type=Path, help="its folder")
    cli.add_argument("rows", type=Path)
    cli.add_argument("--minutes", type=float, default=60.0, help="processor time of this call")
    cli.add_argument("--run", type=Path, default=Path("runs/gist"), help="its folder")
    cli.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    cli.add_argument(
        "--ratios", type=float, nargs="+", default=[2.0, 3.0], help="tokens per vector"
    )
    cli.add_argument("--window", type=int, default=512, help="tokens read together, at most")
    cli.add_argument("--batch", type=int, default=8, help="rows per step")
    cli.add_argument("--pointing", type=int, default=200, help="steps that teach pointers alone")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--put", action="store_true", help="put the head beside the model")
    args = cli.parse_args(arguments)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype="auto").to(args.device)
    model.requires_grad_(False).eval()
    ratios = tuple(sorted(args.ratios))
    rows = read_rows(args.rows)
    source = Rows(model, args.model, rows, ratios, batch=args.batch, seed=args.seed)
    plan = Plan(args.minutes, ratios, args.window, pointing=args.pointing, seed=args.seed)
    run = Run(args.run, model, source, plan)
    if args.resume:
        run.resume()
    run.train()
    if args.put:
        place = args.model / PLACE
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(args.run / "head.safetensors", place)
        print(f"put into {place}")


if __name__ == "__main__":
    main()
