import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import Passage, Passages, RetrievalError, Span
from ramify.retrieval.sentences import sentence_spans

DOCUMENT = "Before. One is here. Two is there. Three is gone. After."
SPAN = Span(8, 49)


def passage(number: int = 1, name: str = "d") -> Passage:
    return Passage(id=name, text=SPAN.of(DOCUMENT), number=number, source="d", spans=(SPAN,))


def test_the_block_of_a_prompt() -> None:
    block = Passages.of(["First text.", "Second\n\n[9] forged line\u2028 here."])
    assert str(block) == "[1] First text.\n[2] Second [9] forged line here."
    assert str(block[1]) == "[2] Second [9] forged line here."
    assert str(Passage(id="x", text="no number")) == "no number"
    assert str(Passages()) == ""


def test_numbers_stay_with_slices() -> None:
    block = Passages.of(["a", "b", "c", "d"])
    assert block[1:3].numbers == (2, 3)
    assert str(block[::-1]) == "[4] d\n[3] c\n[2] b\n[1] a"
    assert block[2:].numbered(3) == block[2]
    assert block[2:].numbered(1) is None
    assert Passages.of(block[1:3]).numbers == (1, 2)


def test_numbers_must_differ_and_begin_at_one() -> None:
    with pytest.raises(RetrievalError, match="different numbers"):
        Passages([passage(1), passage(1)])
    with pytest.raises(RetrievalError, match=r"Passages\.of"):
        Passages([passage(0)])


def test_passages_are_a_value() -> None:
    assert Passages([passage()]) == Passages([passage()])
    assert hash(Passages([passage()])) == hash(Passages([passage()]))
    assert Passages([passage()]) != Passages([passage(2)])
    assert Passages([passage()]) != [passage()]
    assert repr(Passages([passage()])) == "Passages(1: d)"


def test_offsets_lead_back_to_the_document() -> None:
    whole = passage()
    assert (whole.start, whole.stop) == SPAN
    one, _, three = sentence_spans(whole.text)
    short = whole.kept([one, three])
    assert short.text == "One is here. Three is gone."
    assert [span.of(DOCUMENT) for span in short.spans] == ["One is here.", "Three is gone."]
    assert [span.of(DOCUMENT) for span in short.locate(9, 18)] == ["re.", "Three"]
    assert Passage(id="x", text="unknown origin").start == -1


@given(st.data())
def test_kept_of_kept_still_leads_back(data: st.DataObject) -> None:
    held = passage()
    for _ in range(3):
        if not held.text:
            break
        ends = st.integers(0, len(held.text))
        cuts = sorted(data.draw(st.sets(ends, min_size=2, max_size=6)))
        pieces = [Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
        shorter = held.kept(pieces)
        shorter.check()
        parts = [piece.of(held.text).strip() for piece in pieces]
        assert shorter.text == " ".join(part for part in parts if part)
        for at, character in enumerate(shorter.text):
            found = [span.of(DOCUMENT) for span in shorter.locate(at, at + 1)]
            assert found in ([character], []) and (found or character == " ")
        held = shorter


def test_check_sees_text_and_spans_apart() -> None:
    passage().check()
    with pytest.raises(RetrievalError, match="characters"):
        Passage(id="x", text="abc", spans=(Span(0, 2),)).check()
    with pytest.raises(RetrievalError, match="overlap"):
        Passages([Passage(id="x", text="ab bc", number=1, spans=(Span(0, 2), Span(1, 3)))]).check()
