"""Best of n: sample answers side by side, let the model judge each, keep the best."""

import typer

import ramify as rf


def main(
    question: str = "Write a slogan for a lighthouse museum.", n: int = 4, backend: str = "fake:"
) -> None:
    judged = rf.patterns.best_of_n.run(question, n=n, max_tokens=24, backend=backend)
    print(f"the model's choice: {judged}")
    shortest = rf.patterns.best_of_n.run(
        question, n=n, max_tokens=24, judge=lambda text: -len(text), backend=backend
    )
    print(f"the shortest: {shortest}")


if __name__ == "__main__":
    typer.run(main)
