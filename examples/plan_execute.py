"""Plan and execute (SPRINT; Biju et al., 2025): steps that need not wait run side by side."""

import typer

import ramify as rf


def main(
    task: str = "Plan a day in a harbour town for a family with two children.",
    rounds: int = 2,
    backend: str = "fake:",
) -> None:
    with rf.patterns.plan_execute.stream(
        task, rounds=rounds, join="kv", backend=backend
    ) as stream:
        for event in stream:
            if event.kind == "finished" and event.name == "done":
                print(f"{event.scope}: {event.text.strip()}")
        print(stream.result().text)


if __name__ == "__main__":
    typer.run(main)
