"""Which replica a prompt goes to: where its beginning is known, unless that one is too busy."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from ramify.backend.fleet.replica import Replica

_WORTH = 64  # tokens: a longer known prefix than elsewhere decides only from here on
_LEAD = 1.5  # a replica may carry so many times the load of the least busy one,
_SLACK = 4096  # and so many tokens more


class Router:
    """Longest known prefix with load; two choices at random where nobody knows the prompt
    (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def choose(
        self,
        replicas: Sequence[Replica],
        ids: Sequence[int],
        salt: str = "",
        without: Collection[Replica] = (),
    ) -> tuple[Replica | None, int]:
        """The replica and how many tokens of the prompt it should know; None where none is open."""
        able = [one for one in replicas if one.open and one not in without]
        if not able:
            return None, 0
        known = {}
        names: dict[int, list[int]] = {}  # by block size
        for one in able:
            block = one.mirror.block
            if block not in names:
                names[block] = one.mirror.names(ids, salt)
            known[one] = one.mirror.known(names[block]) * block
        best = max(known.values())
        least = min(one.load for one in able)
        near = [
            one for one in able if known[one] > best - _WORTH and one.load <= _LEAD * least + _SLACK
        ]
        if best < _WORTH or not near:
            near = self._random.sample(able, min(2, len(able)))
        self._random.shuffle(near)  # equals take turns
        found = min(near, key=lambda one: (one.load, -known[one]))
        return found, known[found]
