import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval.sentences import sentence_spans, split_sentences

EXAMPLES = [
    ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
    ("Dr. J. K. Smith met Mr. Jones.", ["Dr. J. K. Smith met Mr. Jones."]),
    ("It costs 3.50 dollars. No. 5 is 1.5 m.", ["It costs 3.50 dollars. ", "No. 5 is 1.5 m."]),
    ('He said "Stop!" and left. They ran.', ['He said "Stop!" and left. ', "They ran."]),
    ('"Really?" she asked. "Yes." He went.', ['"Really?" she asked. ', '"Yes." ', "He went."]),
    ("In the U.S. Army. In the U.S. The end.", ["In the U.S. Army. ", "In the U.S. ", "The end."]),
    (
        "At 3 p.m. he came, e.g. by bus, etc. He left.",
        ["At 3 p.m. he came, e.g. by bus, etc. ", "He left."],
    ),
    ("Take vitamin C. The rest is easy.", ["Take vitamin C. ", "The rest is easy."]),
    ("A wrapped\nline goes on. Next.", ["A wrapped\nline goes on. ", "Next."]),
    ("A title\n\nA text.", ["A title\n\n", "A text."]),
    ("# 1. Title\nBody. More.", ["# 1. Title\n", "Body. ", "More."]),
    ("1. First one\n2. Second one", ["1. First one\n", "2. Second one"]),
    ("- a cat\n- a dog", ["- a cat\n", "- a dog"]),
    ("Ann: yes\nBob: no\nnever", ["Ann: yes\n", "Bob: no\nnever"]),
    ("这是一。那是二\uff01好\uff1f", ["这是一。", "那是二\uff01", "好\uff1f"]),
    ("Wait... what? Yes… no.", ["Wait... what? ", "Yes… no."]),
    ("(A note.) After it.", ["(A note.) ", "After it."]),
    ("  \n lead. In.  ", ["  \n lead. ", "In.  "]),
    ("", []),
    (" \n ", [" \n "]),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_examples(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


ALPHABET = st.sampled_from(
    [*"aB1 .!?\n\"')(#-:…。\u2019\t", "Mr. ", "e.g. ", "The ", "\r\n", "\u2028"]
)


@given(st.lists(ALPHABET, max_size=60).map("".join) | st.text(max_size=80))
def test_pieces_give_the_text_back(text: str) -> None:
    pieces = split_sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)
    if text.strip():
        assert all(piece.strip() for piece in pieces)
        assert not any(piece[:1].isspace() for piece in pieces[1:])


@given(st.lists(ALPHABET, max_size=60).map("".join))
def test_spans_are_the_stripped_pieces(text: str) -> None:
    spans = sentence_spans(text)
    assert [span.of(text) for span in spans] == [
        piece.strip() for piece in split_sentences(text) if piece.strip()
    ]
    assert all(a.stop <= b.start for a, b in pairwise(spans))


@pytest.mark.parametrize(
    "text",
    [
        "." * 10**6,
        " \n" * 500_000,
        ".'" * 500_000,
        "a" + " " * 10**6,
        "\n# " * 300_000,
        "a" * 10**6,
        "." + ")" * 10**6,
    ],
    ids=["dots", "space", "quotes", "spaces", "headings", "word", "brackets"],
)
def test_a_megabyte_of_anything_is_cut(text: str) -> None:
    assert "".join(split_sentences(text)) == text


def test_a_long_real_looking_text_is_cut_where_its_sentences_end() -> None:
    rng = random.Random(0)
    sentences = [f"The {rng.choice('abc')} had {rng.random():.2f} of it." for _ in range(5000)]
    assert [piece.strip() for piece in split_sentences(" ".join(sentences))] == sentences
