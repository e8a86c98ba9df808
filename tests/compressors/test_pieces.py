from hypothesis import given
from hypothesis import strategies as st

from ramify.compressors.contract import Compressed
from ramify.compressors.pieces import put_together, take_apart, whole
from ramify.retrieval import Passages
from ramify.retrieval.sentences import sentence_spans
from tests.compressors.sources import SOURCES


@given(SOURCES, st.data())
def test_any_choice_of_pieces_is_made_of_them(source: str | Passages, data: st.DataObject) -> None:
    pieces = take_apart(source, sentence_spans)
    chosen = [piece for piece in pieces if data.draw(st.booleans())]
    value, kept = put_together(source, reversed(chosen))
    made = Compressed(
        value=value, kept=kept, tokens_before=1, tokens_after=1, target=1, method="test"
    )
    made.check(source)
    said = "".join("".join(piece.text for piece in chosen).split())
    body = value if isinstance(value, str) else " ".join(p.text for p in value)
    assert "".join(body.split()) == said


@given(SOURCES)
def test_all_pieces_give_the_source(source: str | Passages) -> None:
    value, _ = put_together(source, take_apart(source, sentence_spans))
    if isinstance(source, str):
        assert value == source.strip()
    else:
        expected = [p.text.strip() for p in source if p.text.strip()]
        assert [p.text for p in value] == expected  # type: ignore[union-attr]
    whole(source, 3, 4, "test").check(source)
