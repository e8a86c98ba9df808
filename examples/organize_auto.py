"""organize="auto": a router and the cost model decide how an answer is written."""

import typer

import ramify as rf
from ramify.router import set_default_router


@rf.program
def answer(s, question: str, max_tokens: int = 256):
    s += rf.user(question)
    s += rf.assistant(rf.gen("answer", organize="auto", max_tokens=max_tokens))
    return s["answer"]


def main(
    question: str = "What are the main causes of traffic jams?",
    router: str = "prompt",  # or "linear", which needs the extra [retrieval]
    backend: str = "fake:",
) -> None:
    set_default_router(router)
    print(answer.explain(question, backend=backend))  # what the cost model says beforehand
    result = answer.run(question, backend=backend)
    print(result.text)
    print(result.explain())  # and what the router said


if __name__ == "__main__":
    typer.run(main)
