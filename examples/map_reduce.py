"""Map-reduce: notes from every document side by side, then one answer from the notes."""

import typer

import ramify as rf
from ramify.demo.world import load_towns


def main(
    question: str = "What do these towns export?", count: int = 4, backend: str = "fake:"
) -> None:
    texts = [town.text for town in load_towns()[:count]]
    result = rf.patterns.map_reduce.run(
        texts, question, map_tokens=32, reduce_tokens=48, backend=backend
    )
    print(result.text)


if __name__ == "__main__":
    typer.run(main)
