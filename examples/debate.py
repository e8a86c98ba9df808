"""Debate (Du et al., 2023): agents answer, read each other, and answer again."""

import typer

import ramify as rf


def main(
    question: str = "Should a town rebuild its old mill?",
    agents: int = 3,
    rounds: int = 2,
    backend: str = "fake:",
) -> None:
    with rf.patterns.debate.stream(
        question, agents=agents, rounds=rounds, max_tokens=32, backend=backend
    ) as stream:
        for event in stream:
            if event.kind == "finished" and event.name.startswith("round"):
                print(f"{event.scope} in {event.name}: {event.text.strip()}")
        print(f"judge: {stream.result().text.strip()}")


if __name__ == "__main__":
    typer.run(main)
