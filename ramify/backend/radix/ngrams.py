"""Prompt-lookup drafts: what followed when the last tokens were seen before.

What is looked through: the prompt, with the passages and skeletons in it, the answer so far, and
the prompts and answers of all that begin alike under the same salt: siblings, mostly. (Prompt
lookup decoding: A. Saxena, 2023; LLMA, arXiv:2304.04487.)

A lookup costs two or three accesses to dicts of numbers, about a microsecond: text in which nothing
repeats is looked through at every step, and must not pay for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from ramify.backend.radix.node import common_length
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import IntArray

LONGEST = 4  # tokens of a match that are told apart: longer ones are as good
_BEGIN = 16  # tokens that a family has in common
_TRIED = 8  # places that are looked at for one lookup
_FAMILIES = 32
_TOKENS = 1 << 17  # per family; over it, the family begins anew
_PAIR = 40  # bits that a pair's first token is shifted by
_PLACE = 24  # bits of a place that say where in its text it is: over the tokens of a family
_WITHIN = (1 << _PLACE) - 1


class Family:
    """The texts of sequences that begin alike, indexed by pairs of tokens.

    A place is a number: of the text, and in it of the pair's second token. Each pair has its latest
    place, and each place the one before it of the same pair. All of it are plain numbers in two
    dicts, which the garbage collector need not walk.
    """

    def __init__(self) -> None:
        self.size = 0
        self.prompt: IntArray | None = None  # of the latest member
        self.texts: list[list[int]] = []
        self._latest: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def begin(self) -> int:
        """A new text; returns its number."""
        self.texts.append([])
        return len(self.texts) - 1

    def add(self, number: int, tokens: list[int]) -> None:
        """Let a text go on."""
        text, latest = self.texts[number], self._latest
        place = (number << _PLACE) + len(text)
        last = text[-1] if text else None
        for token in tokens:
            if last is not None:
                pair = (last << _PAIR) + token
                known = latest.get(pair)
                if known is not None:
                    self._before[place] = known
                latest[pair] = place
            last = token
            place += 1
        text += tokens
        self.size += len(tokens)

    def find(self, number: int, most: int) -> tuple[list[int], int]:
        """What followed the longest, latest place that ends as a text does, and the match's length
        (2 to `LONGEST`; 0 with nothing)."""
        text = self.texts[number]
        best: list[int] = []
        length = 0
        place = self._latest.get((text[-2] << _PAIR) + text[-1])
        for _ in range(_TRIED):
            if place is None:
                break
            other, end = self.texts[place >> _PLACE], place & _WITHIN
            place = self._before.get(place)
            if end + 1 == len(other):
                continue  # the end of a text, mostly of this one
            same = 2
            while same < min(LONGEST, end + 1, len(text)) and other[end - same] == text[-1 - same]:
                same += 1
            if same > length:
                best, length = other[end + 1 : end + 1 + most], same
                if same == LONGEST:
                    break
        return best, length

    def check(self) -> None:
        """Raise AssertionError where places and texts disagree."""
        assert self.size == sum(map(len, self.texts))
        seen: set[int] = set()
        for pair, latest in self._latest.items():
            place: int | None = latest
            while place is not None:
                text, at = self.texts[place >> _PLACE], place & _WITHIN
                assert 0 < at < len(text) and (text[at - 1] << _PAIR) + text[at] == pair
                assert place not in seen, "a place comes twice"
                seen.add(place)
                place = self._before.get(place)
        assert len(seen) == sum(max(0, len(text) - 1) for text in self.texts)


@dataclass(slots=True)
class _Member:
    """A sequence's text in its family, and how many of the sequence's tokens are read."""

    family: Family
    number: int
    text: list[int] = field(init=False)  # the family's
    read: int

    def __post_init__(self) -> None:
        self.text = self.family.texts[self.number]


class Ngrams:
    """Drafts for sequences, from the families that they belong to."""

    def __init__(self) -> None:
        self._families: OrderedDict[tuple[str, bytes], Family] = OrderedDict()
        self._members: dict[Sequence, _Member] = {}

    def propose(self, sequence: Sequence, most: int) -> tuple[list[int], int]:
        """Up to `most` tokens that may follow, and how long the match is that speaks for them."""
        member = self._sync(sequence)
        if len(member.text) < 2 or most < 1:
            return [], 0
        found, length = member.family.find(member.number, most)
        for at, token in enumerate(found):
            if token < 0:  # a vector's number
                return found[:at], length
        return found, length

    def forget(self, sequence: Sequence) -> None:
        """A sequence has ended; what it said stays for its siblings."""
        if sequence in self._members:
            self._sync(sequence)
            del self._members[sequence]

    def check(self, live: Collection[int]) -> None:
        """Raise AssertionError where texts and sequences disagree, or one is kept whose id is not
        among the `live` ones."""
        assert len(self._families) <= _FAMILIES
        for sequence, member in self._members.items():
            assert id(sequence) in live, "the text of an ended sequence is still read"
            start = member.read - len(member.text)
            assert 0 <= start <= member.read <= sequence.length
            assert member.text == sequence.tokens[start : member.read].tolist()
        families = {id(f): f for f in self._families.values()}
        families |= {id(m.family): m.family for m in self._members.values()}
        for family in families.values():
            family.check()

    def _sync(self, sequence: Sequence) -> _Member:
        """Read what is new in a sequence."""
        member = self._members.get(sequence)
        if member is None:
            family = self._family(sequence)
            start = 0
            if family.prompt is not None:  # what the member before began with is known
                start = max(0, common_length(family.prompt, sequence.known) - LONGEST)
            family.prompt = sequence.known.copy()
            member = self._members[sequence] = _Member(family, family.begin(), start)
        if member.read < sequence.length:
            tokens: list[int] = sequence.tokens[member.read : sequence.length].tolist()
            member.family.add(member.number, tokens)
            member.read = sequence.length
        return member

    def _family(self, sequence: Sequence) -> Family:
        key = (sequence.job.salt, sequence.tokens[:_BEGIN].tobytes())
        family = self._families.get(key)
        if family is None or family.size > _TOKENS:
            family = self._families[key] = Family()
            if len(self._families) > _FAMILIES:
                self._families.popitem(last=False)
        self._families.move_to_end(key)
        return family
