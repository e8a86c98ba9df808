"""Fork tokens (APAR; Liu et al., 2024): a model that was trained to says itself where to branch."""

import typer

import ramify as rf
from ramify.demo.world import load_towns


def main(backend: str = "demo") -> None:
    # the tokens by which the model forks; a fake one has none, so two characters stand for them
    marks = ("^", "~") if backend.startswith("fake") else ("<|fork|>", "<|child|>")
    town = load_towns()[0]
    question = f"[1] {town.text}\n\nDescribe {town.title}."
    with rf.patterns.fork_tokens.stream(
        question, forks=rf.patterns.Forks(*marks), max_tokens=200, backend=backend
    ) as stream:
        for text in stream.text("answer"):  # in the order of reading, while children are written
            print(text, end="", flush=True)
        print()
        print(stream.result().explain())


if __name__ == "__main__":
    typer.run(main)
