"""Chat with a text: every turn extends one prompt, so what was said before stays in the cache."""

import typer

import ramify as rf
from ramify.demo.world import load_towns

QUESTIONS = (
    "What is the river of {town}?",
    "Who is the mayor of {town}?",
    "Which festival does {town} hold?",
)


@rf.program
def chat(s, text: str, questions: list[str]):
    s += rf.system("Answer from the passages. Cite them as [n].")
    s += rf.user(f"[1] {text}")
    for question in questions:
        s += rf.user(question)
        s += rf.assistant(rf.gen(max_tokens=32))
    return s.messages()


def main(backend: str = "demo") -> None:
    town = load_towns()[0]
    questions = [question.format(town=town.title) for question in QUESTIONS]
    for message in chat.run(town.text, questions, backend=backend).value:
        print(f"{message['role']:>9}: {message['content']}")


if __name__ == "__main__":
    typer.run(main)
