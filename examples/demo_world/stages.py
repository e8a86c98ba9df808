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
ABSENT = Mix("absent", facts=(3, 9), short=0.3, absent=0.4)


def _kinds(ask: float, many: float = 0.0) -> tuple[Kind, ...]:
    """All tasks over one passage; `ask` is the part of the plain questions."""
    rest = 1 - ask - many
    kinds = [
        Kind("ask", LEVEL1, ask * 0.55),
        Kind("ask", ABSENT, ask * 0.45),
        Kind("describe", Mix("describe", facts=(3, 10), short=0.2), rest * 0.2),
        Kind("outline", Mix("outline", facts=(3, 10), short=0.2), rest * 0.38),
        Kind("plan", Mix("plan"), rest * 0.11),
        Kind("compare", Mix("compare"), rest * 0.15),
        Kind("hop", Mix("hop", facts=(5, 10), short=0.2), rest * 0.11),
        Kind("direct", Mix("direct", passages=(2, 4), plain=0.4), rest * 0.05),
    ]
    if many:
        kinds += [
            Kind("ask", Mix("two", facts=(3, 6), passages=(2, 2), plain=0.7, lean=0.1), many * 0.6),
            Kind("ask", Mix("four", facts=(4, 8), passages=(3, 4), plain=0.4), many * 0.4),
        ]
    return tuple(kinds)


# At the full rate the first stage finds where the answers are, but its answers stay noisy: its
# gate is low, and the smaller rate of the next stages alone brings many of them right.
STAGES: tuple[Stage, ...] = (
    Stage("first", (Kind("ask", FIRST),), {"first": 0.45}, rate=1.0),
    Stage("level1", (Kind("ask", FIRST, 0.3), Kind("ask", LEVEL1, 0.7)), {"level1": 0.97}),
    Stage(
        "one",
        _kinds(ask=0.42),
        {"level1": 0.97, "absent": 0.9, "outline": 0.9, "describe": 0.6},
        rate=0.5,
    ),
    Stage("many", _kinds(ask=0.25, many=0.4), {}, rate=0.5),
)
