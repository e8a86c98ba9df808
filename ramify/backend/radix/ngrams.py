"""Prompt-lookup drafts: what followed when the last tokens were seen before.

What is looked through: the prompt, with the passages and skeletons in it, the answer so far, and
the prompts and answers of all that begin alike under the same salt: siblings, mostly. (Prompt
lookup decoding: A. Saxena, 2023; LLMA, arXiv:2304.04487.)
"""

from __future__ import annotations

from collections import OrderedDict

from ramify.backend.radix.node import common_length
from ramify.backend.radix.sequence import Sequence
from ramify.backend.radix.slots import IntArray

LONGEST = 4  # tokens of a match that are told apart: longer ones are as good
_BEGIN = 16  # tokens that a family has in common
_TRIED = 8  # places that are looked at for one lookup
_FAMILIES = 32
_TOKENS = 1 << 17  # per family; over it, the family begins anew


class Family:
    """The texts of sequences that begin alike, indexed by pairs of tokens."""

    def __init__(self) -> None:
        self.size = 0
        self.prompt: IntArray | None = None  # of the latest member
        self.seen: dict[tuple[int, int], list[tuple[list[int], int]]] = {}  # text, end of pair

    def add(self, text: list[int], tokens: list[int]) -> None:
        """Let a text of this family go on."""
        at = len(text)
        text += tokens
        self.size += len(tokens)
        for end in range(max(1, at), len(text)):
            self.seen.setdefault((text[end - 1], text[end]), []).append((text, end))

    def find(self, text: list[int], most: int) -> tuple[list[int], int]:
        """What followed the longest, latest place that ends as `text` does, and the match's length
        (2 to `LONGEST`; 0 with nothing)."""
        best: list[int] = []
        length = 0
        for other, end in reversed(self.seen.get((text[-2], text[-1]), ())[-_TRIED:]):
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


class Ngrams:
    """Drafts for sequences, from the families that they belong to."""

    def __init__(self) -> None:
        self._families: OrderedDict[tuple[str, bytes], Family] = OrderedDict()
        self._texts: dict[Sequence, tuple[Family, list[int], int]] = {}  # and tokens read so far

    def propose(self, sequence: Sequence, most: int) -> tuple[list[int], int]:
        """Up to `most` tokens that may follow, and how long the match is that speaks for them."""
        family, text = self._sync(sequence)
        if len(text) < 2 or most < 1:
            return [], 0
        found, length = family.find(text, most)
        for at, token in enumerate(found):
            if token < 0:  # a vector's number
                return found[:at], length
        return found, length

    def forget(self, sequence: Sequence) -> None:
        """A sequence has ended; what it said stays for its siblings."""
        if sequence in self._texts:
            self._sync(sequence)
            del self._texts[sequence]

    def _sync(self, sequence: Sequence) -> tuple[Family, list[int]]:
        """Read what is new in a sequence."""
        entry = self._texts.get(sequence)
        if entry is None:
            family = self._family(sequence)
            start = 0
            if family.prompt is not None:  # what the member before began with is known
                start = max(0, common_length(family.prompt, sequence.known) - LONGEST)
            family.prompt = sequence.known.copy()
            entry = (family, [], start)
        family, text, read = entry
        if read < sequence.length:
            family.add(text, sequence.tokens[read : sequence.length].tolist())
        self._texts[sequence] = (family, text, sequence.length)
        return family, text

    def _family(self, sequence: Sequence) -> Family:
        key = (sequence.job.salt, sequence.tokens[:_BEGIN].tobytes())
        family = self._families.get(key)
        if family is None or family.size > _TOKENS:
            family = self._families[key] = Family()
            if len(self._families) > _FAMILIES:
                self._families.popitem(last=False)
        self._families.move_to_end(key)
        return family
