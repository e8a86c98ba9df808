"""What came before, in the tree or not: how often, and how long it takes to come again.

Prefixes are noted by a hash at *anchors*, every so many tokens, so that the cost is a small share
of a token's and what was evicted is known when it comes again. Time is counted in tokens that
entered the tree: it stands still while everything is found.
"""

from __future__ import annotations

import numpy as np

from ramify.backend.radix.slots import IntArray

HOT = 5  # uses from which on a prefix counts as shared by all
_AGES = 48  # ranges of ages that are told apart, four to each doubling
_STEP, _ROOM = 32, 1 << 17  # tokens from anchor to anchor, at least; anchors at most
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class History:
    """Remembers the prefixes of as many tokens as 16 times the pool of `capacity` slots holds."""

    def __init__(self, capacity: int) -> None:
        self.visit = max(1, capacity // 64)  # uses that are not farther apart count as one
        self._step = max(_STEP, -(-16 * capacity // _ROOM))
        room = max(64, 16 * capacity // self._step)
        self._row: dict[int, int] = {}  # hash of a prefix -> row in the arrays
        self._free = list(range(room))
        self._key = np.zeros(room, np.uint64)
        self._last = np.zeros(room, np.int64)
        self._uses = np.zeros(room, np.int64)  # 0: the row is free
        self._powers = np.ones(1, np.uint64)
        self.edges = self.visit * np.concatenate(([0.0], 2.0 ** (np.arange(_AGES - 1) / 4)))
        self._again = np.zeros(_AGES)  # anchors that came again, by the time that it took
        self._again[np.searchsorted(self.edges, capacity)] = 16.0  # a guess to begin with

    def saw(self, salt: str, tokens: IntArray, now: int) -> list[tuple[int, int]]:
        """Note a prompt. Returns the runs of its leading tokens that came before: where each ends,
        at an anchor, and how often it has come now."""
        keys = self._hashes(salt, tokens)
        rows = []
        for key in keys:
            row = self._row.get(key)
            if row is None:
                break
            rows.append(row)
        runs = self._used(np.array(rows), now) if rows else []
        self._add(keys[len(rows) :], now)
        return runs

    def usual(self) -> float:
        """The time that it takes until a prefix comes again, in the median; without the hot ones,
        which always come soon."""
        middle = int(np.searchsorted(np.cumsum(self._again), self._again.sum() / 2))
        return float(self.edges[middle])

    def _used(self, rows: IntArray, now: int) -> list[tuple[int, int]]:
        age = now - self._last[rows]
        late = rows[age > self.visit]
        cold = late[self._uses[late] < HOT]
        ages = np.searchsorted(self.edges, now - self._last[cold], "right") - 1
        np.add.at(self._again, ages, 1.0)
        self._uses[late] += 1
        self._last[rows] = now
        uses = np.minimum(self._uses[rows], HOT)
        ends = np.append(np.flatnonzero(np.diff(uses)), len(rows) - 1)
        return list(zip(((ends + 1) * self._step).tolist(), uses[ends].tolist(), strict=True))

    def _add(self, keys: list[int], now: int) -> None:
        keys = keys[: len(self._key) // 2]
        if len(keys) > len(self._free):
            self._forget(max(len(keys), len(self._key) // 4), now)
        # Of a prompt whose beginning was forgotten, the rest may be known still.
        known = [self._row[key] for key in keys if key in self._row]
        self._last[known] = now
        new = [key for key in dict.fromkeys(keys) if key not in self._row]
        if not new:
            return
        rows = [self._free.pop() for _ in new]
        self._row.update(zip(new, rows, strict=True))
        self._key[rows], self._last[rows], self._uses[rows] = new, now, 1

    def _forget(self, count: int, now: int) -> None:
        """Free the rows used longest ago; old observations fade at the same pace."""
        held = np.flatnonzero(self._uses)
        old = held[np.argsort(self._last[held], kind="stable")[:count]]
        self._again *= 1 - count / len(self._key)
        for key in self._key[old].tolist():
            del self._row[key]
        self._uses[old] = 0
        self._free.extend(old.tolist())

    def _hashes(self, salt: str, tokens: IntArray) -> list[int]:
        """The hash of each prefix that ends at an anchor: a polynomial over mixed tokens."""
        if len(tokens) > len(self._powers):
            size = 2 * len(tokens)
            self._powers = np.cumprod(np.full(size, _FACTOR, np.uint64), dtype=np.uint64)
        mixed = tokens.astype(np.uint64) * _FACTOR
        mixed ^= mixed >> np.uint64(29)
        sums = np.cumsum(mixed * self._powers[: len(tokens)], dtype=np.uint64)
        start = np.uint64(hash(salt) & 0xFFFFFFFFFFFFFFFF)
        found: list[int] = (sums[self._step - 1 :: self._step] + start).tolist()
        return found

    def check(self) -> None:
        """Raise AssertionError where hashes and rows disagree."""
        held = set(self._row.values())
        assert len(held) == len(self._row), "two hashes have one row"
        assert held.isdisjoint(self._free) and len(held) + len(self._free) == len(self._key)
        assert held == set(np.flatnonzero(self._uses).tolist()), "a row is used and has no hash"
        assert all(int(self._key[row]) == key for key, row in self._row.items())
