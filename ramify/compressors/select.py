"""Choosing pieces under a budget: the most worth, without saying things twice."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

# A piece whose words are all said already is worth nothing, one that repeats half of them almost
# all: sentences about one subject share its name.
_POWER = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """Positions in the order in which they were chosen, best first, and what each one gained."""

    order: tuple[int, ...]
    gains: tuple[float, ...]

    @property
    def gained(self) -> float:
        return sum(self.gains)


class Novelty:
    """How new a piece is beside those chosen: `1 - c ** 4`, where c is the share of its words,
    weighed by how rare they are, that the chosen ones have. It never grows.
    """

    def __init__(self, words: Sequence[Collection[str]]) -> None:
        self._words = [frozenset(row) for row in words]
        df = Counter(word for row in self._words for word in row)
        count = len(self._words)
        self._weight = {w: math.log(1 + (count - n + 0.5) / (n + 0.5)) for w, n in df.items()}
        # a fixed order of summing: sets of strings have another one in every process
        self._total = [sum(self._weight[w] for w in sorted(row)) for row in self._words]
        self._said: set[str] = set()

    def of(self, at: int) -> float:
        if not self._said or not self._total[at]:
            return 1.0
        said = sorted(self._words[at] & self._said)
        share = sum(self._weight[word] for word in said) / self._total[at]
        return max(0.0, 1 - share**_POWER)

    def say(self, at: int) -> None:
        self._said |= self._words[at]


def choose(
    worth: Sequence[float],
    words: Sequence[Collection[str]],
    cost: Callable[[int], float],
    take: Callable[[int], None],
    budget: float,
) -> Chosen:
    """Take pieces by `worth * novelty`, largest first, earlier ones first among equals. One that
    costs more than what is left of the budget is passed over, and so is one that gains nothing.

    `cost` may fall as pieces are taken (`take` is told of each), never rise. Gains only fall, so a
    heap of old gains finds the next best without looking at all pieces again: Minoux,
    "Accelerated Greedy Algorithms for Maximizing Submodular Set Functions" (1978).
    """
    novelty = Novelty(words)
    heap = [(-value, at) for at, value in enumerate(worth)]
    heapq.heapify(heap)
    order, gains, left = [], [], budget
    while heap:
        _, at = heapq.heappop(heap)
        gain = worth[at] * novelty.of(at)
        if heap and (-gain, at) > heap[0]:
            heapq.heappush(heap, (-gain, at))
            continue
        price = cost(at)
        if price > left or gain <= 0:
            continue
        left -= price
        order.append(at)
        gains.append(gain)
        take(at)
        novelty.say(at)
    return Chosen(tuple(order), tuple(gains))
