"""Self-consistency (Wang et al., 2023): several ways of thinking, one vote; the slow ones go."""

from collections import Counter

import typer

import ramify as rf


def majority(answers: list[str]) -> str:
    return Counter(answers).most_common(1)[0][0]


@rf.program
def vote(s, question: str, paths: int = 7, enough: int = 5):
    s += rf.user(f"{question} Think step by step.")
    branches = s.fork(paths)
    branches += lambda i: rf.assistant(
        rf.gen("thoughts", max_tokens=64, temperature=0.7, seed=i),
        "\nAnswer: ", rf.gen("answer", regex="[0-9]{1,4}"),
    )
    done = rf.first(enough, branches)  # the others are cancelled and cost nothing more
    return rf.call(majority, done["answer"], pure=True)


def main(question: str = "How many legs have 3 cats and a crow?", backend: str = "fake:") -> None:
    print(vote.run(question, backend=backend))


if __name__ == "__main__":
    typer.run(main)
