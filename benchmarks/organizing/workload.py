"""An answer of so many points of so many tokens, behind a prompt."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.models import LlamaShape
from benchmarks.roofline import Limits, decode_seconds, prefill_flops
from ramify.dsl.patterns.skeleton import Point, Skeleton
from ramify.dsl.patterns.skeleton_of_thought import SkeletonOptions
from ramify.ir import Sampling

PER_POINT = 8  # tokens of a point in the skeleton
TITLES = (
    "Where the old harbour lay", "How ships were built", "Trade with the islands",
    "Fish and salt", "The two great fires", "Who ruled the town", "The new canal", "Winter and ice",
    "Guilds and their houses", "The lighthouse keeper", "Markets on the square", "What is left",
)  # fmt: skip
_SENTENCE = (
    "The town lies where the river meets the sea, and ships have come there for eight hundred "
    "years with salt, wood, iron and news of other places. "
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`points` of `tokens` each; the plain answer has as many tokens in all."""

    points: int
    tokens: int

    @property
    def name(self) -> str:
        return f"{self.points} x {self.tokens}"

    @property
    def total(self) -> int:
        return self.points * self.tokens

    @property
    def skeleton_tokens(self) -> int:
        return self.points * PER_POINT

    def read(self, text: str) -> Skeleton:
        """The points, whatever a model of random weights wrote."""
        return Skeleton(tuple(Point(i, TITLES[i - 1]) for i in range(1, self.points + 1)))

    def options(self) -> SkeletonOptions:
        """The pattern as it is, but for where its points come from."""
        return SkeletonOptions(
            sampling=Sampling(max_tokens=self.tokens, ignore_end=True),
            limit=self.points,
            skeleton_tokens=self.skeleton_tokens,
            answer_tokens=self.total,
            constrained=False,
            read=self.read,
        )

    def sequential_limit(self, shape: LlamaShape, limits: Limits, prompt: int) -> float:
        """The least seconds of the plain answer on this machine."""
        steps = (decode_seconds(shape, limits, prompt, [n]) for n in range(1, self.total))
        return prefill_flops(shape, prompt) / limits.flops + sum(steps)

    def split_limit(self, shape: LlamaShape, limits: Limits, prompt: int, computed: int) -> float:
        """The least seconds of skeleton and branches that compute so many prompt tokens."""
        shared = prompt + self.skeleton_tokens
        work = prefill_flops(shape, prompt) + prefill_flops(shape, computed - prompt, shared)
        steps = [decode_seconds(shape, limits, prompt, [n]) for n in range(1, self.skeleton_tokens)]
        own = (computed - prompt) // self.points
        steps += [
            decode_seconds(shape, limits, shared, [own + n] * self.points)
            for n in range(1, self.tokens)
        ]
        return work / limits.flops + sum(steps)


VICUNA = (Answer(8, 64), Answer(4, 128), Answer(12, 32))


# as long as the questions of Vicuna-80 are
QUESTION = (
    "What should a visitor know about the history of an old harbour town, and how did trade and "
    "fishing change the lives of the people who lived there?"
)


def passages(sentences: int) -> str:
    """Something to read, then the question."""
    lines = (f"[{i}] {_SENTENCE}" for i in range(1, sentences + 1))
    return "\n".join(lines) + f"\n\n{QUESTION}"
