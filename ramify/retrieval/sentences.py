"""Cutting text into sentences, with exact offsets: what chunkers and compressors share.

Rules, no model: a sentence ends at `.`, `!`, `?` (and their CJK forms) that is followed by white
space, unless the dot belongs to an abbreviation, an initial or a number; at a blank line; at a
line that begins a list item, a heading or a speaker's turn. A plain line break does not end a
sentence, for text files are often wrapped.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ramify.retrieval.contract import Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the end of a sentence: a name or a number follows.
_BEFORE_A_NAME = _words(
    "mr mrs ms dr prof rev hon gen col lt sgt capt cmdr adm maj sen rep gov pres st mt ft messrs "
    "mme mlle fig figs eq eqs no nos vol vols pp ch sec art ed eds trans vs v cf ca approx e.g "
    "i.e viz c jan feb mar apr jun jul aug sep sept oct nov dec"
)
# The end of a sentence only where the next word often begins one.
_MAYBE_LAST = _words("inc ltd co corp bros jr sr etc al u.s u.k u.n e.u a.m p.m ph.d")
_STARTERS = _words(
    "The A An It Its He His She Her They Their We Our I You This That These Those There In On At "
    "By For From With As When While After Before During Since Although However But And So If What "
    "Who Why How Where Many Most Some All Another Other Both Each Such Then Thus"
)
_CLOSERS = "\"'\u2019\u201d\xbb)\\]"  # quotation marks and brackets that end with their sentence
_WIDE_STOPS = "\u3002\uff01\uff1f"  # the full stop, ! and ? of Chinese and Japanese
_END = re.compile(
    # the lookbehind lets a run of dots match only once, from its start
    rf"(?P<stop>(?<![.!?\u2026])[.!?\u2026]+[{_CLOSERS}]*(?=\s))"
    rf"|(?P<wide>(?<![{_WIDE_STOPS}])[{_WIDE_STOPS}]+[\u2019\u201d\u300d\u300f\uff09]*)"
    r"|(?P<blank>\n[^\S\n]*\n)"
    r"|(?P<item>\n(?=[^\S\n]*(?:[-*\u2022]\s|\d{1,3}[.)]\s|\#{1,6}\s|[A-Z][\w .'-]{0,30}:\s)))"
    r"|(?P<heading>(?:(?<=\n)|\A)\#{1,6}\s[^\n]*\n)"
)
_WORD_BEFORE = re.compile(r"[^\W_][\w.]*\Z")
_INITIALS = re.compile(r"(?:[A-Z]\.)+[A-Z]")
_SPACE = re.compile(r"\s*")
_NEXT_WORD = re.compile(r"[\s\"'\u2018\u201c\xab(\[]*(\w+)?")


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences with the white space after them: `"".join` gives it back."""
    cuts = [0, *_cuts(text), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]


def sentence_spans(text: str) -> list[Span]:
    """Where the sentences of a text are, without the white space around them; none is empty."""
    spans, at = [], 0
    for piece in split_sentences(text):
        body = piece.strip()
        if body:
            start = at + len(piece) - len(piece.lstrip())
            spans.append(Span(start, start + len(body)))
        at += len(piece)
    return spans


def _cuts(text: str) -> list[int]:
    """Offsets at which a new sentence begins, rising, all inside the text."""
    cuts: list[int] = []
    reached = _space_end(text, 0)  # white space at the very start goes with the first sentence
    for match in _END.finditer(text):
        if match.end() <= reached:
            continue
        if match["stop"] is not None and not _ends(text, match.start(), match.end()):
            continue
        reached = _space_end(text, match.end())
        if reached < len(text):
            cuts.append(reached)
    return cuts


def _space_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _ends(text: str, start: int, stop: int) -> bool:
    """Whether the stop at text[start:stop], before white space, ends a sentence."""
    before = _WORD_BEFORE.search(text, max(0, start - 24), start)
    token = before[0] if before else ""
    follows = _NEXT_WORD.match(text, stop, stop + 80)
    word = (follows[1] or "") if follows else ""
    if word[:1].islower():
        # `"Stop!" he said` goes on, `approx. five` too; `finished. then` is careless writing
        return text[start:stop] == "." and len(token) > 5 and "." not in token
    if text[start:stop] != "." or not before:  # "!", "?!", '."': no abbreviation
        return True
    if (len(token) == 1 and token.isupper()) or _INITIALS.fullmatch(token):
        return len(word) > 1 and word in _STARTERS
    if token.lower() in _BEFORE_A_NAME:
        return False
    if token.isdigit() and len(token) <= 3 and _opens_line(text, before.start()):
        return False  # the number of a list item
    return token.lower() not in _MAYBE_LAST or word in _STARTERS


def _opens_line(text: str, at: int) -> bool:
    """Whether only white space stands before `at` on its line (looking back 16 characters)."""
    line = text[max(0, at - 16) : at].rpartition("\n")
    return not line[2].strip() and (bool(line[1]) or at < 16)
