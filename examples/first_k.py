"""First k: ask four, go on with the first two to finish, cancel the others."""

import typer

import ramify as rf


def main(question: str = "Name three uses of old rope.", backend: str = "fake:") -> None:
    result = rf.patterns.first_k.run(question, asked=4, k=2, max_tokens=32, backend=backend)
    print(result.text)
    print(result.explain())  # the cancelled ones are in the account


if __name__ == "__main__":
    typer.run(main)
