"""The words of a text as search sees them: what BM25, reranking and compression count."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Words that say nothing about the topic. Question words are among them: passages do not ask.
_STOP_WORDS = (
    "a about after all also am an and any are as at be because been before being between both but "
    "by can could did do does during each few for from had has have having he her here him his how "
    "i if in into is it its itself just many me more most much my no not of on only or other our "
    "out over own same she should so some such than that the their them then there these they this "
    "those through to too under until up very was we were what when where which while who whom "
    "whose why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
# Chinese and Japanese are written without spaces: overlapping pairs stand in for words, as in
# Lucene's CJKAnalyzer.
_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TERM = re.compile(rf"[{_WIDE}]+|[^\W_{_WIDE}]+(?:['\u2019][^\W_{_WIDE}]+)*")
_WIDE_START = re.compile(rf"[{_WIDE}]")


def terms(text: str) -> list[str]:
    """Search terms in order: case and accents folded, plural `s` cut, stop words left out."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def words(text: str) -> Iterator[str]:
    """Words with case and accents folded; pairs of characters where there are no spaces."""
    for match in _TERM.finditer(fold(text)):
        word = match[0]
        if not _WIDE_START.match(word):
            yield word[:-2] if word[-2:] in ("'s", "\u2019s") else word
        elif len(word) == 1:
            yield word
        else:
            yield from (word[at : at + 2] for at in range(len(word) - 1))


def fold(text: str) -> str:
    """Case, width and accents taken away: `Café` and `CAFE` are one word."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def stem(word: str) -> str:
    """Cut the plural: the `s` stemmer of Harman (1991), which hardly ever joins two words."""
    if len(word) < 4 or word[-1] != "s" or not word.isascii():
        return word
    if word.endswith("ies") and word[-4] not in "ea":
        return word[:-3] + "y"
    if word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    return word if word[-2] in "us" else word[:-1]
