"""Make the shipped world and the tokenizer: `python -m examples.demo_world.make [--seed 1]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from examples.demo_world import tokenizer
from examples.demo_world.shipped import Row, question_rows, shipped_towns, town_rows

DEMO = Path(__file__).parents[2] / "ramify" / "demo"


def write(path: Path, rows: list[Row]) -> None:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument(
        "--out", type=Path, default=DEMO, help="folder of towns.jsonl and questions.jsonl"
    )
    cli.add_argument(
        "--tokenizer",
        type=Path,
        default=Path("runs/demo_model"),
        help="folder of the tokenizer (training makes it too)",
    )
    args = cli.parse_args()
    towns = shipped_towns(args.seed)
    write(args.out / "towns.jsonl", town_rows(args.seed, towns))
    write(args.out / "questions.jsonl", question_rows(args.seed, towns))
    args.tokenizer.mkdir(parents=True, exist_ok=True)
    tokenizer.save(tokenizer.build(args.seed), args.tokenizer)
    print(f"{len(towns)} towns in {args.out}, tokenizer in {args.tokenizer}")


if __name__ == "__main__":
    main()
