"""Answer from a folder of texts: retrieve, shorten for the question, answer, check citations."""

from pathlib import Path

import typer

import ramify as rf
from ramify.compressors import Extractive
from ramify.demo import world

TOWNS = Path(world.__file__).with_name("towns.jsonl")
BY_WORDS = Extractive(dense=False)  # names are found by their letters; else by meaning, too


@rf.program
def answer(s, notes: rf.Index, question: str):
    found = rf.retrieve(notes, question, k=4)
    short = rf.compress(found, question=question, rate=0.4, method=BY_WORDS)
    s += rf.system("Answer from the passages. Cite them as [n].")
    s += rf.user(short, f"\n\n{question}")
    s += rf.assistant(rf.gen("answer", max_tokens=32))
    return rf.cite(s["answer"], short)  # reads as the answer and the list of its sources


def main(
    folder: Path = TOWNS, question: str = "What is the river of Aldbridge?", backend: str = "demo"
) -> None:
    notes = rf.Index.open(folder, dense=False)
    print(answer.run(notes, question, backend=backend))


if __name__ == "__main__":
    typer.run(main)
