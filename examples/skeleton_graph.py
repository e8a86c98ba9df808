"""Skeleton graph (Jin et al., 2024): sub-questions, what each needs, all that can at once."""

import typer

import ramify as rf


def main(
    question: str = "Who rules the town on the river Tarven, and how old is it?",
    backend: str = "fake:",
) -> None:
    result = rf.patterns.skeleton_graph.run(question, part_tokens=48, backend=backend)
    print(result.text)
    for note in result.notes:  # what was mended in the plan
        print(f"({note})")
    print(result.explain())  # which parts ran beside which


if __name__ == "__main__":
    typer.run(main)
