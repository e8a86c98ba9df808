"""ReAct (Yao et al., 2023): think, use a tool, read what it says, until the answer is known."""

from math import prod

import typer

import ramify as rf

SUM = r"[1-9]\d{0,3}( [+*] [1-9]\d{0,3}){1,3}"  # the tool never gets anything else to read


def calculate(text: str) -> int:
    return sum(prod(map(int, term.split("*"))) for term in text.split("+"))


@rf.program
async def agent(s, question: str, steps: int = 3):
    s += [rf.system("Think, then calculate or answer."), rf.user(question)]
    for _ in range(steps):
        s = s.fork()  # the prompt goes on, the names start anew
        s += rf.assistant("Thought: ", rf.gen("thought", max_tokens=32, stop="\n"))
        s += rf.assistant("Action: ", rf.gen("action", choices=["calculate", "answer"]))
        if await s["action"] == "answer":
            break
        s += rf.assistant("Calculate: ", rf.gen("sum", regex=SUM))
        s += rf.tool(rf.call(calculate, s["sum"], pure=True))
    s += rf.assistant("Answer: ", rf.gen("answer", max_tokens=16))
    return s["answer"]


def main(question: str = "What is 12 times 7, plus 5?", backend: str = "fake:") -> None:
    print(agent.run(question, backend=backend))


if __name__ == "__main__":
    typer.run(main)
