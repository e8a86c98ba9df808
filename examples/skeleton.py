"""Skeleton of thought (Ning et al., 2024): outline first, then all points at the same time."""

import typer
from rich.live import Live
from rich.text import Text

import ramify as rf


def expand(branch, point: str):
    branch += rf.user(f"Write only this point, in two sentences: {point}")
    branch += rf.assistant(rf.gen("text", max_tokens=48))


@rf.program
def essay(s, topic: str):
    s += rf.user(f"What should one know about {topic}? List the points first.")
    s += rf.assistant(rf.gen("outline", schema=rf.Outline, max_tokens=96))
    points = s.each(s["outline"].points, expand, limit=6)
    s.join(points, mode="kv")  # the closing reads what the branches wrote, not computed again
    s += rf.user("Close with one sentence.")
    s += rf.assistant(rf.gen("closing", max_tokens=32))
    return rf.lines(points["text"], s["closing"])


def main(topic: str = "old harbours", backend: str = "fake:") -> None:
    texts: dict[str, str] = {}
    with essay.stream(topic, backend=backend) as stream, Live() as page:
        for event in stream:
            if event.kind == "delta" and event.name in ("text", "closing"):
                texts[event.scope] = texts.get(event.scope, "") + event.text
                page.update(Text("\n".join(texts.values())))  # each branch grows on its line


if __name__ == "__main__":
    typer.run(main)
