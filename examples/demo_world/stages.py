"""The curriculum: what each stage of training reads, and the accuracy that opens the next one."""

from __future__ import annotations

from dataclasses import dataclass

from examples.demo_world.tasks import Mix


@dataclass(frozen=True)
class Stage:
    """One stage: most conversations are `mix`, the others come from the stages before it.

    `gate` is the share of answers over dev towns that must be exact before the next stage opens,
    `length` the tokens of a packed row, `share` the part of conversations that is new here, `rate`
    a factor on the learning rates.
    """

    mix: Mix
    gate: float
    length: int = 384
    share: float = 0.65
    rate: float = 0.6


# At the full rate the first stage finds where the answers are, but its answers stay noisy: its
# gate is low, and the smaller rate of the second stage alone brings many of them right.
STAGES: tuple[Stage, ...] = (
    Stage(
        Mix("first", facts=(3, 6), plain=0.6, lean=0.0, others=0.3), gate=0.70, length=256, rate=1.0
    ),
    Stage(Mix("level1", facts=(6, 10), short=0.5), gate=0.97, share=0.7),
    Stage(Mix("whole", facts=(3, 8), short=0.3, absent=0.3, whole=0.5), gate=0.93, rate=0.4),
    Stage(Mix("two", facts=(2, 4), passages=(2, 2), plain=1.0, others=0.0), gate=0.93, rate=0.4),
    Stage(
        Mix("two_worded", facts=(3, 6), passages=(2, 2), plain=0.5, lean=0.1), gate=0.93, rate=0.4
    ),
    Stage(
        Mix("four", facts=(4, 8), passages=(2, 4), plain=0.4, absent=0.05),
        gate=0.95,
        length=640,
        rate=0.4,
    ),
    Stage(
        Mix("level2", facts=(6, 10), passages=(2, 8), short=0.3, absent=0.1),
        gate=1.01,
        length=1280,
        rate=0.4,
    ),
)
LEVEL1 = STAGES[1].mix
