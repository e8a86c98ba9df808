from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import Fixed, RetrievalError, Sentences, Span, WholeDocument
from ramify.retrieval.chunk import Chunker, chunker_of, from_json, to_json
from ramify.retrieval.sentences import sentence_spans

WORD = st.sampled_from(["cat", "dog.", "The", "ran!", "3.5", "\n\n", "Mr."])
TEXT = st.lists(WORD, max_size=60).map(" ".join) | st.text(max_size=60)
CHUNKERS = st.one_of(
    st.just(WholeDocument()),
    st.builds(Fixed, words=st.integers(4, 12), overlap=st.integers(0, 3)),
    st.builds(Sentences, words=st.integers(4, 12), overlap=st.integers(0, 3)),
)


@given(TEXT, CHUNKERS)
def test_no_word_is_lost_and_chunks_advance(text: str, chunker: Chunker) -> None:
    chunks = chunker.chunk(text)
    covered: set[int] = set()
    for chunk in chunks:
        assert chunk.of(text) == chunk.of(text).strip() != ""
        covered.update(range(*chunk))
    assert all(at in covered for at, character in enumerate(text) if not character.isspace())
    assert all(a.start < b.start and a.stop < b.stop for a, b in pairwise(chunks))


@given(TEXT, st.integers(3, 12), st.integers(0, 2))
def test_sentence_chunks_keep_the_budget_and_sentences(text: str, words: int, overlap: int) -> None:
    sentences = sentence_spans(text)
    starts = {span.start for span in sentences}
    long = {span for span in sentences if len(span.of(text).split()) > words}
    previous = Span(0, 0)
    for chunk in Sentences(words, overlap).chunk(text):
        assert len(chunk.of(text).split()) <= words
        if not any(s.start < chunk.stop and chunk.start < s.stop for s in long):
            assert chunk.start in starts
        shared = text[chunk.start : previous.stop]
        assert len(shared.split()) <= overlap
        previous = chunk


def test_overlap_repeats_the_last_sentences() -> None:
    text = "One two three. Four five. Six seven. Eight nine ten."
    chunks = [span.of(text) for span in Sentences(words=7, overlap=2).chunk(text)]
    assert chunks == ["One two three. Four five. Six seven.", "Six seven. Eight nine ten."]


def test_fixed_and_whole() -> None:
    assert [s.of("a b c d e") for s in Fixed(3, 1).chunk("a b c d e")] == ["a b c", "c d e"]
    assert WholeDocument().chunk("  a b ") == [Span(2, 5)]
    assert WholeDocument().chunk("  ") == []


def test_settings_that_cannot_be() -> None:
    with pytest.raises(RetrievalError, match="overlap"):
        Fixed(words=5, overlap=5)
    with pytest.raises(RetrievalError, match="Known: document, fixed, sentences"):
        chunker_of("paragraphs")


@pytest.mark.parametrize("chunker", [WholeDocument(), Fixed(9, 2), Sentences(50, 5)])
def test_a_saved_index_knows_its_chunker_again(chunker: Chunker) -> None:
    assert from_json(to_json(chunker)) == chunker


def test_a_chunker_of_ones_own_cannot_be_saved() -> None:
    class Mine:
        def chunk(self, text: str) -> list[Span]:
            return [Span(0, len(text))]

    with pytest.raises(RetrievalError, match="Mine"):
        to_json(Mine())
