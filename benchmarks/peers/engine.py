"""An engine as the benchmarks see it: prompts of token ids in, new token ids out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from benchmarks.harness.timing import Contender

Prompts = list[list[int]]


class Engine(ABC):
    """One engine at one setting. `run` is timed: from submission to the last token of all."""

    name: str  # "ramify", "hf generate": what is compared
    setting: str  # "page 16, leader first": how it is set up
    cached = 0  # prompt tokens that the last run found in a cache, not computed

    def prepare(self, prompts: Prompts, count: int) -> None:  # noqa: B027
        """Make ready for a run with a cold cache; not timed."""

    @abstractmethod
    def run(self, prompts: Prompts, count: int) -> list[list[int]]:
        """`count` new ids for every prompt, greedy, past any end token."""

    def finish(self) -> None:  # noqa: B027
        """After every run, not timed: nothing of this engine may go on beside another one's run."""

    def close(self) -> None:
        """Give back what the engine holds; it is not used again."""
        self.finish()

    def contender(self, prompts: Prompts, count: int) -> Contender:
        """This engine on a workload, for timing."""
        return Contender(
            f"{self.name}: {self.setting}",
            lambda: self.run(prompts, count),
            lambda: self.prepare(prompts, count),
            self.finish,
        )


def shared_length(prompts: Prompts) -> int:
    """Tokens that all prompts begin with."""
    columns = enumerate(zip(*prompts, strict=False))
    return next((i for i, ids in columns if len(set(ids)) > 1), min(map(len, prompts)))
