"""The curriculum: what each stage of training reads, and the accuracy that opens the next one."""

from __future__ import annotations

from dataclasses import dataclass

from examples.demo_world.tasks import Mix


@dataclass(frozen=True)
class Kind:
    """One kind of scene: who makes it (`tasks.MAKERS`), how, and its part of the tokens."""

    maker: str
    mix: Mix
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self.mix.name


@dataclass(frozen=True)
class Stage:
    """One stage: its kinds of scenes, and what must be exact before the next stage opens.

    `gates` maps names of kinds to shares of exact answers over dev towns; `rate` is a factor on the
    learning rates.
    """

    name: str
    kinds: tuple[Kind, ...]
    gates: dict[str, float]
    rate: float = 0.6


FIRST = Mix("first", facts=(3, 6), plain=0.6, lean=0.0, others=0.3)
LEVEL1 = Mix("level1", facts=(6, 10), short=0.5)
ABSENT = Mix("absent", facts=(3, 9), short=0.3, absent=0.5)
TWO = Mix("two", facts=(3, 6), passages=(2, 2), plain=0.6, lean=0.1)
WHICH = Mix("which", facts=(4, 7), passages=(2, 3), plain=0.4)
FOUR = Mix("four", facts=(6, 10), passages=(3, 4), absent=0.15)
EIGHT = Mix("eight", facts=(6, 10), passages=(6, 8))


def _mixed(ask: float, several: dict[Mix, float]) -> tuple[Kind, ...]:
    """All tasks over one passage, and questions over several; `ask` is the part of the plain
    questions over one."""
    rest = 1 - ask - sum(several.values())
    return (
        Kind("ask", LEVEL1, ask * 0.4),
        Kind("ask", ABSENT, ask * 0.6),
        Kind("describe", Mix("describe", facts=(3, 10), short=0.35), rest * 0.25),
        Kind("outline", Mix("outline", facts=(3, 10), short=0.35), rest * 0.38),
        Kind("fork", Mix("fork", facts=(3, 10), short=0.35), rest * 0.12),
        Kind("plan", Mix("plan"), rest * 0.07),
        Kind("compare", Mix("compare"), rest * 0.07),
        Kind("hop", Mix("hop", facts=(5, 10), short=0.2), rest * 0.07),
        Kind("direct", Mix("direct", passages=(2, 4), plain=0.4), rest * 0.04),
        *(Kind("hop" if mix is WHICH else "ask", mix, part) for mix, part in several.items()),
    )


STAGES: tuple[Stage, ...] = (
    Stage("first", (Kind("ask", FIRST),), {"first": 0.8}, rate=1.0),
    Stage("level1", (Kind("ask", FIRST, 0.3), Kind("ask", LEVEL1, 0.7)), {"level1": 0.9}),
    Stage("one", _mixed(0.35, {}), {"level1": 0.9, "absent": 0.85, "outline": 0.8}),
    Stage("many", _mixed(0.2, {TWO: 0.1, WHICH: 0.05, FOUR: 0.25, EIGHT: 0.15}), {}),
)
