"""Citations: which passages an answer names, whether they exist, and what they rest on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ramify.retrieval.contract import Passage, Passages, Span
from ramify.retrieval.relevance import coverage
from ramify.retrieval.sentences import sentence_spans

_MARK = re.compile(r"\[\s*\d{1,4}(?:\s*[,;\u2013-]\s*\d{1,4})*\s*\]")
_PART = re.compile(r"(\d+)(?:\s*[\u2013-]\s*(\d+))?")
_LONGEST_RANGE = 100


@dataclass(frozen=True, slots=True)
class Citation:
    """One passage named in an answer.

    `mark` is where the answer names it (`[2]`, `[1, 2]`), `claim` the sentence that it stands in.
    `passage` is None where no passage has that number. `evidence` is the sentence of the passage
    with the most words of the claim, as ranges of the source document, and `support` the share of
    the claim's words (rare ones weigh more) that this sentence has.
    """

    number: int
    mark: Span
    claim: Span
    passage: Passage | None = None
    evidence: tuple[Span, ...] = ()
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Citations:
    """An answer and the citations in it, in order. `str()` is the answer, without the marks of
    unknown passages, and the list of its sources.
    """

    text: str
    items: tuple[Citation, ...]
    passages: Passages

    @property
    def sources(self) -> Passages:
        """The passages that the answer cites, in the order of their first mention."""
        named = {item.number: item.passage for item in self.items}
        return Passages(passage for passage in named.values() if passage is not None)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Numbers that the answer cites and no passage has."""
        return tuple(dict.fromkeys(item.number for item in self.items if item.passage is None))

    @property
    def uncited(self) -> tuple[Span, ...]:
        """Sentences of the answer that cite no passage that exists."""
        cited = {item.claim for item in self.items if item.passage is not None}
        return tuple(span for span in _claims(self.text) if span not in cited)

    @property
    def clean(self) -> str:
        """The answer without numbers that no passage has."""
        unknown = set(self.unknown)
        parts, at = [], 0
        for mark in _MARK.finditer(self.text):
            numbers = _numbers(mark[0])
            good = [number for number in numbers if number not in unknown]
            if len(good) == len(numbers):
                continue
            before = self.text[at : mark.start()]
            parts.append(before + f"[{', '.join(map(str, good))}]" if good else before.rstrip(" "))
            at = mark.end()
        return "".join(parts) + self.text[at:]

    def __str__(self) -> str:
        lines = [f"[{p.number}] {p.title or p.source or p.id}" for p in self.sources]
        return "\n".join([self.clean, "", "Sources:", *lines]) if lines else self.clean

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Citation]:
        return iter(self.items)


def cite(text: object, passages: object) -> Citations:
    """Read the citations of an answer: `[2]`, `[1, 3]`, `[1-3]`, before or after the full stop.

    `text` is read by `str()`. `passages` are Passages, a list of them or of texts (numbered from
    1), or anything that has them as `.passages`: a compression. A pure function.
    """
    answer = str(text)
    known = passages_of(passages)
    claims = _claims(answer)
    items = []
    for mark in _MARK.finditer(answer):
        claim = next(span for span in claims if mark.start() < span.stop)
        words = _MARK.sub(" ", claim.of(answer))
        for number in _numbers(mark[0]):
            passage = known.numbered(number)
            evidence, support = _evidence(words, passage) if passage else ((), 0.0)
            span = Span(*mark.span())
            items.append(Citation(number, span, claim, passage, evidence, support))
    return Citations(answer, tuple(items), known)


def passages_of(source: object) -> Passages:
    """Passages from whatever holds them (see `cite`)."""
    if isinstance(source, Passages):
        return source
    held = getattr(source, "passages", source)
    if isinstance(held, Passages):
        return held
    if isinstance(held, (list, tuple)) and all(isinstance(i, (str, Passage)) for i in held):
        numbered = [item.number for item in held if isinstance(item, Passage)]
        return Passages(held) if numbered and all(numbered) else Passages.of(held)
    raise TypeError(f"passages are expected, got {type(source).__name__}.")


def _claims(text: str) -> list[Span]:
    """The sentences of an answer; marks after a full stop belong to the sentence before."""
    claims: list[Span] = []
    for start, stop in sentence_spans(text):
        at = start
        while claims and (mark := _MARK.match(text, at)):
            at = mark.end()
            while at < stop and text[at] in " .,;":
                at += 1
        if at > start:
            claims[-1] = Span(claims[-1].start, len(text[:at].rstrip()))
        if at < stop:
            claims.append(Span(at, stop))
    return claims


def _numbers(mark: str) -> list[int]:
    found: list[int] = []
    for part in _PART.finditer(mark):
        first, last = int(part[1]), int(part[2] or part[1])
        found += range(first, last + 1) if 0 <= last - first < _LONGEST_RANGE else (first, last)
    return list(dict.fromkeys(found))


def _evidence(claim: str, passage: Passage) -> tuple[tuple[Span, ...], float]:
    spans = sentence_spans(passage.text)
    if not spans:
        return (), 0.0
    shares = coverage(claim, [span.of(passage.text) for span in spans])
    at = int(shares.argmax())
    return passage.locate(*spans[at]), round(float(shares[at]), 5)
