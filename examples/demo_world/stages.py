"""The curriculum: what each stage of training reads, and the accuracy that opens the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from examples.demo_world.passages import Mix


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


FIRST = Mix("first", facts=(3, 6), asks=6, plain=0.6, lean=0.0, others=0.3)
LEVEL1 = Mix("level1", facts=(6, 10), short=0.65)
ABSENT = Mix("absent", facts=(3, 9), short=0.4, absent=0.5)
TWO = Mix("two", facts=(3, 6), asks=6, passages=(2, 2), plain=0.6, lean=0.1)
WHICH = Mix("which", facts=(4, 7), passages=(2, 3), plain=0.4)
FOUR = Mix("four", facts=(6, 10), passages=(3, 4), asks=20, absent=0.15)
EIGHT = Mix("eight", facts=(6, 10), passages=(6, 8), asks=20)
COMPARE = Mix("compare")



def rest(share: float, **weights: float) -> tuple[Kind, ...]:
    """The tasks besides single facts, by name, with their parts of a `share` of the tokens."""
    kinds = {
        "describe": Kind("describe", Mix("describe", facts=(3, 10), short=0.45)),
        "outline": Kind("outline", Mix("outline", facts=(3, 10), short=0.45)),
        "fork": Kind("fork", Mix("fork", facts=(3, 10), short=0.35)),
        "plan": Kind("plan", Mix("plan")),
        "compare": Kind("compare", COMPARE),
        "hop": Kind("hop", Mix("hop", facts=(5, 10), short=0.2)),
        "direct": Kind("direct", Mix("direct", passages=(2, 4), plain=0.4)),
    }
    return tuple(replace(kinds[name], weight=share * part) for name, part in weights.items())


ONE = {  # of them while those over one passage are learned
    "describe": 0.25, "outline": 0.36, "fork": 0.11,
    "plan": 0.07, "compare": 0.10, "hop": 0.07, "direct": 0.04,
}  # fmt: skip
MANY = {  # and while several passages are
    "describe": 0.22, "outline": 0.14, "fork": 0.12,
    "plan": 0.09, "compare": 0.32, "hop": 0.07, "direct": 0.04,
}  # fmt: skip

STAGES: tuple[Stage, ...] = (
    Stage(
        "first",
        (Kind("ask", FIRST, 0.4), Kind("ask", TWO, 0.5), Kind("compare", COMPARE, 0.1)),
        {"first": 0.8, "two": 0.5},
        rate=1.0,
    ),
    Stage(
        "level1",
        (
            Kind("ask", FIRST, 0.1),
            Kind("ask", TWO, 0.2),
            Kind("ask", LEVEL1, 0.35),
            Kind("ask", FOUR, 0.25),
            Kind("compare", COMPARE, 0.1),
        ),
        {"level1": 0.8, "four": 0.5},
    ),
    Stage(
        "all",
        (
            Kind("ask", LEVEL1, 0.13),
            Kind("ask", ABSENT, 0.18),
            Kind("ask", TWO, 0.02),
            Kind("hop", WHICH, 0.02),
            Kind("ask", FOUR, 0.12),
            Kind("ask", EIGHT, 0.08),
            *rest(0.45, **ONE),
        ),
        {"four": 0.7, "eight": 0.55},
    ),
    # what is not in a passage is learned last: absent facts, outlines, descriptions
    Stage(
        "rest",
        (
            Kind("ask", LEVEL1, 0.1),
            Kind("ask", ABSENT, 0.18),
            Kind("ask", TWO, 0.01),
            Kind("hop", WHICH, 0.03),
            Kind("ask", FOUR, 0.08),
            Kind("ask", EIGHT, 0.06),
            *rest(0.54, **ONE),
        ),
        {"absent": 0.8, "outline": 0.9, "describe": 0.8},
    ),
    # to find one of eight passages takes longest
    Stage(
        "many",
        (
            Kind("ask", LEVEL1, 0.12),
            Kind("ask", ABSENT, 0.08),
            Kind("hop", WHICH, 0.04),
            Kind("ask", FOUR, 0.15),
            Kind("ask", EIGHT, 0.24),
            *rest(0.37, **MANY),
        ),
        {},
    ),
)
