"""Texts, passages and ways of counting tokens for the property tests of compressors."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from ramify.retrieval import Passage, Passages, Span

SENTENCES = st.sampled_from(
    [
        "The river is the Bruna.",
        "It was founded in 1340!",
        "Who is the mayor?",
        "Ada Berg is.",
        "The mayor of the town is Ada Berg, who is old.",
        "A.",
        "東京は大きい。",
        "Ünïcödé \u2013 “yes”.",
        "the a of",
        "no end",
        "# Title\n",
        "It was founded in 1340!",
        "\x00\u2028.",
    ]
)
GAPS = st.sampled_from([" ", "\n", "\n\n", "  ", ""])
TEXTS = st.lists(st.tuples(SENTENCES, GAPS), max_size=10).map(
    lambda parts: "".join(sentence + gap for sentence, gap in parts)
) | st.text(max_size=40)


def _passages(texts: list[str], offset: int) -> Passages:
    return Passages(
        Passage(
            id=f"p{at}",
            text=text,
            number=at + offset,
            title="Aldmoor" if at % 2 else "",
            source="d",
            spans=(Span(7, 7 + len(text)),),
        )
        for at, text in enumerate(texts)
    )


SOURCES = TEXTS | st.builds(_passages, st.lists(TEXTS, max_size=4), st.integers(1, 3))


def by_words(text: str) -> int:
    return len(text.split())


def with_start_token(text: str) -> int:
    """Like a tokenizer that adds a token to every text: a sum of parts is far too large."""
    return 5 + len(re.findall(r"\w{1,4}|\S", text))


def by_lines(text: str) -> int:
    """A part costs what the whole does: sums mean nothing."""
    return len(text.splitlines())


def squared(text: str) -> int:
    """Joining costs more than the parts do."""
    return len(text) ** 2 // 10


COUNTS = st.sampled_from([len, by_words, with_start_token, by_lines, squared])
