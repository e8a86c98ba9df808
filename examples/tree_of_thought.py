"""Tree of thought (Yao et al., 2023): grow steps, judge them all in one pass, keep the best."""

import typer

import ramify as rf


def judged(state):
    """Log-probabilities of yes and no; the question is asked on a branch and forgotten."""
    with state.fork() as judge:
        judge += rf.user("Does this lead to the answer?")
        judge += rf.assistant(rf.score("odds", ["yes", "no"]))
    return judge["odds"]


@rf.program
def think(s, problem: str, depth: int = 2, width: int = 3, keep: int = 2):
    s += rf.user(f"{problem}\nThink in small steps.")
    beam = [s]
    for _ in range(depth):
        grown = [branch for state in beam for branch in state.fork(width)]
        for seed, branch in enumerate(grown):
            branch += rf.user("The next step?")
            branch += rf.assistant(rf.gen("step", max_tokens=24, temperature=0.8, seed=seed))
        odds = rf.resolve(*map(judged, grown))  # all steps of a level, then all judgements
        ranked = sorted(zip(odds, grown, strict=True), key=lambda pair: pair[0][1] - pair[0][0])
        beam = [branch for _, branch in ranked[:keep]]
    best = beam[0]
    best += rf.user("The answer?")
    best += rf.assistant(rf.gen("answer", max_tokens=24))
    return best.text()


def main(problem: str = "Make 24 of 4, 7, 8 and 8.", backend: str = "fake:") -> None:
    print(think.run(problem, backend=backend))


if __name__ == "__main__":
    typer.run(main)
