"""Sub-calls (APR; Pan et al., 2025): tasks done by calls that see nothing but their task."""

import typer

import ramify as rf


@rf.program
def compare(s, first: str, second: str):
    s += rf.user(f"Which is older, {first} or {second}?")
    found = [  # two prompts of their own; only their short results come back
        rf.patterns.sub_calls(f"When was {town} founded?", rounds=1, limit=2)
        for town in (first, second)
    ]
    s += rf.user("Known: ", rf.lines(*found))
    s += rf.assistant(rf.gen("older", max_tokens=12))
    return s["older"]


def main(first: str = "Aldmoor", second: str = "Oldworth", backend: str = "fake:") -> None:
    print(compare.run(first, second, backend=backend))


if __name__ == "__main__":
    typer.run(main)
