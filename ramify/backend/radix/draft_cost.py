"""When drafts pay: measured acceptance against the measured cost of wider steps.

A step of R rows takes about a + b R seconds, and n answers get a token from it: one row costs b,
and a token is worth (a + b R) / n. So a draft's j-th token pays where the chance that it is
accepted, p^j, is over b n / (a + b R). Speculative decoding: arXiv:2211.17192; the rule is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

_FADE = 0.99  # weight of what was measured one step ago
_FORGET = 0.9  # weight of an answer's draft before the last: text that copies may stop to
_PRIOR = 6.0  # how many trials the experience of all counts for one answer
_FIRST = 0.7  # chance of acceptance before anything was measured
_PROBE = 24  # after so many steps without a draft one of two tokens is tried, then after twice
_RARELY = 16 * _PROBE  # as many, up to this: what never pays is tried more and more rarely
_PATIENT = 8  # lookups in a row that found nothing, after which the next step is skipped, then two
_SKIPPED = 8  # steps, and so on, up to this
_FRUITLESS = 192  # lookups in a row, of all answers, that found nothing: then only scouts look,
_SCOUT, _SELDOM = 8, 32  # one answer after so many steps, then after twice as many, up to this
_CERTAIN = 0.95  # no draft is more likely than that for long
_SHARE = 0.04  # of a step's time that a row more costs, before anything was measured
_OUTLIER = 5.0  # steps that took so many times what was expected are not believed


class StepCost:
    """Seconds of a step as a line over its rows: fading least squares."""

    def __init__(self) -> None:
        self._n = self._x = self._xx = self._y = self._xy = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        if not self._n:  # a first guess of the slope, soon outweighed
            for more in (0, 32):
                self._add(rows + more, seconds * (1 + _SHARE * more))
        elif seconds < _OUTLIER * self.seconds(rows):
            self._add(rows, seconds)

    def _add(self, rows: float, seconds: float) -> None:
        self._n = _FADE * self._n + 1
        self._x = _FADE * self._x + rows
        self._xx = _FADE * self._xx + rows * rows
        self._y = _FADE * self._y + seconds
        self._xy = _FADE * self._xy + rows * seconds

    @property
    def slope(self) -> float:
        """Seconds per row; steps that were all equally wide say nothing of it."""
        spread = self._xx * self._n - self._x * self._x
        if spread < 1e-6 * self._xx * self._n:
            return _SHARE * self._y / max(self._n, 1.0)
        return max(0.0, (self._xy * self._n - self._x * self._y) / spread)

    def seconds(self, rows: int) -> float:
        """What a step is expected to take."""
        mean = self._y / max(self._n, 1.0)
        return max(mean * 0.1, mean + self.slope * (rows - self._x / max(self._n, 1.0)))

    def threshold(self, answers: int, rows: int) -> float:
        """The chance of acceptance from which one more row pays, 0 to 1."""
        if not self._n:
            return _SHARE * answers
        return self.slope * answers / self.seconds(rows)


@dataclass(slots=True)
class Acceptance:
    """How often drafted tokens were accepted, of those that were looked at."""

    accepted: float = 0.0
    trials: float = 0.0

    def observe(self, accepted: int, trials: int, *, fade: float) -> None:
        """So many of a draft's tokens were accepted; behind the first that is not, none counts."""
        self.accepted = fade * self.accepted + accepted
        self.trials = fade * self.trials + trials

    def chance(self, prior: float, weight: float) -> float:
        """The estimate, with `weight` trials' worth of `prior`."""
        return (self.accepted + prior * weight) / (self.trials + weight)


@dataclass(slots=True)
class Record:
    """What is known of one answer's drafts."""

    kinds: dict[int, Acceptance] = field(default_factory=dict)
    idle: int = 0  # steps since a draft was made
    patience: int = _PROBE  # steps without one until the next is tried
    misses: int = 0  # lookups in a row from which no draft came
    skip: int = 0  # steps in which it is not looked for


class DraftPolicy:
    """How many tokens to draft. `fixed` sets a number; None weighs the cost, up to `most`."""

    def __init__(self, *, fixed: int | None = None, most: int = 16) -> None:
        self.fixed = fixed
        self.most = most if fixed is None else fixed
        self.cost = StepCost()
        self._all: dict[int, Acceptance] = {}
        self._rested = 0  # steps in a row
        self._fruitless = 0  # lookups in a row from which no draft came
        self._scout = _SCOUT  # steps until one answer is looked at, where none else is
        self._until = 0  # of them: still to come
        self._turn = 0  # whose turn it is

    def rests(self, answers: int) -> bool:
        """Whether a draft of the best kind, as it was accepted so far, does not pay in a step of
        so many answers: then none is even looked for, but now and then."""
        if self.fixed is not None or self.cost.threshold(answers, answers) < self._best():
            self._rested = 0
            return False
        self._rested += 1
        return self._rested % _PROBE != 0

    def _best(self) -> float:
        found = (kind.chance(_FIRST, _PRIOR) for kind in self._all.values())
        return min(_CERTAIN, max(found, default=_CERTAIN))

    def lookers(self, answers: int) -> range:
        """Who of so many answers looks for drafts in this step: all, while any finds some. Text
        that nobody can guess is not even read, but that of one answer now and then."""
        if self._fruitless < _FRUITLESS:
            return range(answers)
        self._until -= 1
        if self._until > 0:
            return range(0)
        self._scout = min(_SELDOM, 2 * self._scout)
        self._until = self._scout
        self._turn = (self._turn + 1) % answers
        return range(self._turn, self._turn + 1)

    def looks(self, record: Record) -> bool:
        """Whether to look for a draft now: where none was found for long, not at each step."""
        if record.skip and self._fruitless < _FRUITLESS:
            record.skip -= 1
            return False
        return True

    def looked(self, record: Record, found: bool) -> None:
        """A draft was looked for, and found or not."""
        if found:
            record.misses = self._fruitless = 0
            self._scout, self._until = _SCOUT, 0
        elif self.fixed is None:
            record.misses += 1
            record.skip = min(_SKIPPED, record.misses // _PATIENT)
            self._fruitless += 1

    def width(self, record: Record, kind: int, *, answers: int, rows: int) -> int:
        """Tokens worth drafting for an answer, from a source of a kind, in a step of so many
        answers and rows."""
        if self.fixed is not None:
            return self.fixed
        prior = self._all.setdefault(kind, Acceptance()).chance(_FIRST, _PRIOR)
        chance = record.kinds.setdefault(kind, Acceptance()).chance(prior, _PRIOR)
        least = self.cost.threshold(answers, rows)
        if least <= 0:
            return self.most
        count = self.most if chance >= 1 else int(log(min(1.0, least)) / log(chance))
        if least < 1 and count > 0:
            record.idle, record.patience = 0, _PROBE
            return min(self.most, count)
        record.idle += 1
        if record.idle < record.patience:
            return 0
        record.idle, record.patience = 0, min(_RARELY, 2 * record.patience)
        return min(2, self.most)

    def observe(self, record: Record, kind: int, *, drafted: int, accepted: int) -> None:
        """So many tokens were drafted and the first so many of them accepted."""
        trials = min(drafted, accepted + 1)
        record.kinds.setdefault(kind, Acceptance()).observe(accepted, trials, fade=_FORGET)
        self._all.setdefault(kind, Acceptance()).observe(accepted, trials, fade=_FADE)
