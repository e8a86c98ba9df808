"""The queue of sequences that wait for admission: larger priority first, but nobody for ever."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ramify.backend.radix.sequence import Sequence


class WaitingQueue:
    """Best first: larger priority, then arrival. Whoever arrived more than `patience` steps ago
    goes before all others, oldest first: with that, waiting is bounded. O(log n) per change."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._live: dict[int, Sequence] = {}  # by order of arrival
        self._urgent: list[tuple[float, int]] = []  # heap of (-priority, order), some not live
        self._oldest: list[int] = []  # heap of orders, some not live

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._live.values())

    def push(self, sequence: Sequence) -> None:
        """Add a sequence; one that was here before keeps its place in the order of arrival."""
        self._live[sequence.order] = sequence
        heapq.heappush(self._urgent, (-sequence.job.priority, sequence.order))
        heapq.heappush(self._oldest, sequence.order)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it stands."""
        del self._live[sequence.order]

    def best(self, step: int) -> Sequence | None:
        """Who is next at this step; it stays in the queue."""
        while self._oldest and self._oldest[0] not in self._live:
            heapq.heappop(self._oldest)
        while self._urgent and self._urgent[0][1] not in self._live:
            heapq.heappop(self._urgent)
        if not self._live:
            return None
        oldest = self._live[self._oldest[0]]
        if self.overdue(oldest, step):
            return oldest
        return self._live[self._urgent[0][1]]

    def equals(self, first: Sequence, step: int, count: int) -> list[Sequence]:
        """Up to `count` of those that may go in place of `first`, the best at this step: of equal
        priority, by arrival. None may go before one that is overdue."""
        if self.overdue(first, step):
            return [first]
        taken: list[tuple[float, int]] = []
        while self._urgent and len(taken) < count and -self._urgent[0][0] == first.job.priority:
            entry = heapq.heappop(self._urgent)
            if entry[1] in self._live:
                taken.append(entry)
        for entry in taken:
            heapq.heappush(self._urgent, entry)
        return [self._live[order] for _, order in dict.fromkeys(taken)]

    def overdue(self, sequence: Sequence, step: int) -> bool:
        """Whether a sequence has been here for so long that it goes first."""
        return step - sequence.arrived > self._patience

    def rank(self, sequence: Sequence, step: int) -> tuple[bool, float, int]:
        """Sort key: the best sequence has the smallest."""
        late = self.overdue(sequence, step)
        return (not late, 0.0 if late else -sequence.job.priority, sequence.order)
