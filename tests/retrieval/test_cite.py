import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import Passage, Passages, Span, cite
from ramify.retrieval.cite import passages_of

DOCUMENT = "Intro. The river is the Bruna. The mayor is Ada Berg."
PASSAGES = Passages.of(
    [
        Passage(id="a#1", text=DOCUMENT[7:], title="Aldmoor", source="a", spans=(Span(7, 53),)),
        Passage(id="b", text="Wool is sold.", source="b", spans=(Span(0, 13),)),
        Passage(id="c", text="Nothing.", source="c", spans=(Span(0, 8),)),
    ]
)


def test_citations_lead_to_their_evidence() -> None:
    answer = "The mayor of Aldmoor is Ada Berg [1]. It sells wool. [2] It is old [7]. The end."
    found = cite(answer, PASSAGES)
    assert [item.number for item in found] == [1, 2, 7]
    first, second, third = found
    assert [span.of(DOCUMENT) for span in first.evidence] == ["The mayor is Ada Berg."]
    assert first.passage is not None and first.passage.id == "a#1"
    assert 0.5 < first.support < 1
    assert second.claim.of(answer) == "It sells wool. [2]"
    assert third.passage is None and third.evidence == () and third.support == 0.0
    assert found.unknown == (7,)
    assert found.sources.numbers == (1, 2)
    assert [span.of(answer) for span in found.uncited] == ["It is old [7].", "The end."]
    assert str(found) == (
        "The mayor of Aldmoor is Ada Berg [1]. It sells wool. [2] It is old. The end.\n\n"
        "Sources:\n[1] Aldmoor\n[2] b"
    )


def test_every_way_to_write_a_mark() -> None:
    found = cite("A [1, 3]. B [1-3]. C [2][3]. D [ 2 ]; E [1\u20132] [3-1].", PASSAGES)
    assert [item.number for item in found] == [1, 3, 1, 2, 3, 2, 3, 2, 1, 2, 3, 1]
    assert found.unknown == ()
    assert len(cite("a[x] [12345] [] [1.5]", PASSAGES)) == 0


def test_unknown_numbers_leave_the_clean_answer() -> None:
    assert cite("A [1, 9]. B [9], C [8-9].", PASSAGES).clean == "A [1]. B, C."
    assert str(cite("No marks.", PASSAGES)) == "No marks."
    assert str(cite("", PASSAGES)) == ""


def test_numbers_survive_compression() -> None:
    kept = Passages([PASSAGES[2], PASSAGES[0].kept([Span(24, 46)])])
    (item,) = cite("Ada Berg rules [1].", kept)
    assert [span.of(DOCUMENT) for span in item.evidence] == ["The mayor is Ada Berg."]


def test_where_passages_come_from() -> None:
    class Holder:
        passages = PASSAGES

    assert passages_of(Holder()) is PASSAGES
    assert passages_of(["x", "y"]).numbers == (1, 2)
    assert passages_of([PASSAGES[1]]).numbers == (2,)
    with pytest.raises(TypeError, match="passages are expected, got int"):
        cite("x", 3)


@given(
    st.lists(st.sampled_from(["[1]", "[2, 9]", "[3-5]", "Word", ".", " ", "\n\n", "[", "]"])).map(
        "".join
    )
)
def test_any_text_can_be_read(text: str) -> None:
    found = cite(text, PASSAGES)
    for item in found:
        assert text[slice(*item.mark)][0] == "["
        assert item.claim.start <= item.mark.start
        assert (item.passage is None) == (item.number not in (1, 2, 3))
    assert cite(found.clean, PASSAGES).unknown == ()
