"""Two tips, written out side by side: both branches share the prompt that came before the fork."""

import typer

import ramify as rf


@rf.program
def tips(s, goal: str):
    s += rf.system("You give short, practical advice.")
    s += rf.user(f"Name two tips: {goal}")
    s += rf.assistant(
        "1. ", rf.gen("first", max_tokens=16, stop="\n"),
        "\n2. ", rf.gen("second", max_tokens=16, stop="\n"),
    )
    branches = s.fork(2)
    branches += lambda i: rf.user(f"Write tip {i + 1} out in one paragraph.")
    branches += rf.assistant(rf.gen("paragraph", max_tokens=64))

    s.join(branches)
    s += rf.user("Sum both up in one sentence.")
    s += rf.assistant(rf.gen("summary", max_tokens=32))
    return rf.lines(branches["paragraph"], s["summary"])


def main(goal: str = "sleep well on a night train", backend: str = "fake:") -> None:
    print(tips.run(goal, backend=backend))


if __name__ == "__main__":
    typer.run(main)
