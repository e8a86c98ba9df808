"""Train the linear router: embeddings of labelled questions, then logistic regression.

The labels are those of SoT-R (MIT licence): a table `label;request`, where 1 says that the answer
is a list of independent points. The questions are not shipped, the 385 numbers that they gave are.
"""

import csv
import json
from pathlib import Path

import typer

from ramify.retrieval.minilm import MiniLM
from ramify.router.fit import fit
from ramify.router.linear import FILE


def load(file: Path) -> tuple[list[str], list[int]]:
    """Questions and labels of a table."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    return [row["request"] for row in rows], [int(row["label"]) for row in rows]


def main(
    data: Path = Path("../shared/data/router"), name: str = "wizardlm", out: Path = FILE
) -> None:
    """Train on one table of the folder `data` and write the model to `out`."""
    questions, labels = load(data / f"{name}.csv")
    embedder = MiniLM()
    model = fit(embedder.embed(questions, kind="query"), labels)
    record = {
        "format": 1,
        "embedder": embedder.name,
        "about": f"trained on the {len(labels)} questions of {name}, {sum(labels)} of them yes",
        "bias": round(model.bias, 4),
        "weights": [round(float(weight), 4) for weight in model.weights],
    }
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    typer.echo(f"{record['about']}: {out.name}")


if __name__ == "__main__":
    typer.run(main)
