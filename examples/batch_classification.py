"""Sort many letters: rows share one prefix, finished rows are on disk, a second run goes on."""

import json
from pathlib import Path

import typer

import ramify as rf

KINDS = ["praise", "complaint", "question"]
LETTERS = {
    "moss": "The lamp arrived broken, for the second time.",
    "reed": "Do you ship to the islands in winter?",
    "dale": "Never had better candles. Thank you!",
}


@rf.program
def classify(s, text: str):
    s += rf.system(f"Sort letters to a shop into {', '.join(KINDS)}.")
    s += rf.user(text)
    s += rf.assistant(rf.gen("kind", choices=KINDS))
    return s["kind"]


def main(out: Path = Path("letters.jsonl"), backend: str = "fake:") -> None:
    rows = [{"id": sender, "text": text} for sender, text in LETTERS.items()]
    results = classify.run_batch(rows, backend=backend, out=out)
    print(f"{len(results)} rows run, {len(rows) - len(results)} were done before")
    for line in map(json.loads, out.read_text().splitlines()):
        print(f"{line['id']}: {line['value']}")


if __name__ == "__main__":
    typer.run(main)
