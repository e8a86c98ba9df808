"""Judge an essay: one branch per criterion, side by side; joined, they decide the grade."""

import typer

import ramify as rf

CRITERIA = ("clarity", "originality", "evidence")
ESSAY = "Harbours made towns rich. Where ships met, so did news, and where news met, ideas did."


@rf.program
def judge(s, essay: str):
    s += rf.system("You judge essays, fairly and briefly.")
    s += rf.user(essay)
    branches = s.fork(len(CRITERIA))
    branches += [rf.user(f"Judge its {criterion} in one sentence.") for criterion in CRITERIA]
    branches += rf.assistant(rf.gen("verdict", max_tokens=32))

    s.join(branches)
    s += rf.user("Which grade does it deserve?")
    s += rf.assistant("Grade: ", rf.select("grade", ["A", "B", "C", "D"]))
    report = {"grade": s["grade"], **dict(zip(CRITERIA, branches["verdict"], strict=True))}
    if s["grade"] in ("C", "D"):  # looking at a value runs what it needs
        s += rf.user("What should be better?")
        s += rf.assistant(rf.gen("advice", max_tokens=32))
        report["advice"] = s["advice"]
    return report


def main(essay: str = ESSAY, backend: str = "fake:") -> None:
    for name, said in judge.run(essay, backend=backend).value.items():
        print(f"{name}: {said}")


if __name__ == "__main__":
    typer.run(main)
