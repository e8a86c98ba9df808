"""The curriculum: what each stage of training reads, and the accuracy that opens the next one."""

from __future__ import annotations

from dataclasses import dataclass

from examples.demo_world.tasks import Mix


@dataclass(frozen=True)
class Stage:
    """One stage: most conversations are `mix`, the others come from the stages before it.

    `gate` is the share of answers over dev towns that must be exact before the next stage opens,
    `length` the tokens of a packed row, `share` the part of conversations that is new here.
    """

    mix: Mix
    gate: float
    length: int = 384
    share: float = 0.65


STAGES: tuple[Stage, ...] = (
    Stage(Mix("first", facts=(3, 6), plain=0.6, lean=0.0, others=0.3), gate=0.90, length=256),
    Stage(Mix("wordings", facts=(4, 8), short=0.2), gate=0.93),
    Stage(Mix("level1", facts=(6, 10), short=0.5), gate=0.975, share=0.7),
    Stage(Mix("absent", facts=(6, 10), short=0.5, absent=0.15), gate=0.96, share=0.5),
    Stage(Mix("two", facts=(3, 5), passages=(2, 2), plain=1.0, others=0.2), gate=0.93),
    Stage(Mix("two_worded", facts=(3, 6), passages=(2, 2), plain=0.5, lean=0.1), gate=0.93),
    Stage(Mix("four", facts=(4, 8), passages=(2, 4), plain=0.4, lean=0.2, absent=0.05), gate=0.95,
          length=640),
    Stage(Mix("level2", facts=(6, 10), passages=(2, 8), short=0.3, absent=0.1), gate=1.01,
          length=1280),
)
LEVEL1 = STAGES[2].mix
