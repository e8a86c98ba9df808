"""Streaming against its naive twin: decode everything, then look for the stop."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend.fake import WordTokenizer
from ramify.backend.stream import Piece, TextStream
from ramify.backend.tokenizer import Tokenizer
from tests.backend import small_tokenizers as small


def naive(
    ours: Tokenizer, ids: list[int], stop: tuple[str, ...], tail: str, min_tokens: int
) -> tuple[str, bool, int]:
    """The text, whether it stopped, and how many tokens were read, by decoding from the start."""
    floor = 0
    for count in range(1, len(ids) + 1):
        final = count == len(ids)
        text = _whole(ours, ids[:count])
        if text.startswith(tail):
            text = text[len(tail) :]
        elif tail.startswith(text) and not final:
            text = ""
        if count <= min_tokens:
            floor = len(text)
            continue
        found = [at for s in stop if (at := text.find(s, floor)) >= 0]
        if found:
            return text[: min(found)], True, count
    text = ours.decode(ids)
    return text[len(tail) :] if tail and text.startswith(tail) else text, False, len(ids)


def _whole(ours: Tokenizer, ids: list[int]) -> str:
    """The text of ids, without a character that is still incomplete at the end."""
    data = b"".join(map(ours.bytes_of, ids))
    for cut in (3, 2, 1):
        try:
            data[-cut:].decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and error.start == 0:
                return data[:-cut].decode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def streamed(
    ours: Tokenizer, ids: list[int], stop: tuple[str, ...], tail: str = "", min_tokens: int = 0
) -> tuple[TextStream, list[Piece], bool, int]:
    stream = TextStream(ours, stop, tail, min_tokens=min_tokens)
    pieces = []
    read = 0
    for token in ids:
        pieces.append(stream.push(token))
        read += 1
        if stream.stopped:
            return stream, pieces, True, read
    pieces.append(stream.finish())
    return stream, pieces, False, read


STOPS = st.lists(
    st.sampled_from(["a", "ab", "aba", "é", "😀", "\n\n", " ", "the", "b a", "\ufffd"]),
    max_size=3,
    unique=True,
).map(tuple)
BYTES = st.sampled_from([b"a", b"b", b" ", b"\n", b"\xc3", b"\xa9", b"\xf0", b"\x9f", b"\x98"])
SPEECH = st.lists(
    st.sampled_from(["a", "b", "ab", " the", "é", "😀", "\n", " a", "harbour", "."]), max_size=20
)


@settings(max_examples=400, deadline=None)
@given(
    SPEECH.map("".join),
    st.lists(BYTES, max_size=6),
    STOPS,
    st.sampled_from(["", " ", "  "]),
    st.integers(0, 4),
)
def test_pieces_are_what_the_naive_twin_says(
    text: str, noise: list[bytes], stop: tuple[str, ...], tail: str, min_tokens: int
) -> None:
    ours = small.byte_level()
    by_bytes = {data: number for number, data in enumerate(ours.token_table) if len(data) == 1}
    ids = [*ours.encode(text), *(by_bytes[data] for data in noise), *ours.encode("the end")]
    want, stopped, count = naive(ours, ids, stop, tail, min_tokens)
    _, pieces, did_stop, read = streamed(ours, ids, stop, tail, min_tokens)
    said = "".join(piece.text for piece in pieces)
    kept = [token for piece in pieces for token in piece.ids]
    assert (said, did_stop, read) == (want, stopped, count)
    spelled = ours.decode(kept)
    if said or not tail:
        assert spelled in (said, tail + said)
    if not stopped:
        assert kept == ids
    if not tail:
        for piece in pieces:
            assert ours.decode(piece.ids) == piece.text, "a piece's ids spell its text"


def test_half_characters_are_held_back() -> None:
    ours = small.byte_level()
    ids = ours.encode("😀")
    assert len(ids) == 4
    stream = TextStream(ours)
    assert [stream.push(token).text for token in ids] == ["", "", "", "😀"]


def test_an_end_in_the_middle_of_a_character_is_said_so() -> None:
    ours = small.byte_level()
    stream = TextStream(ours)
    assert stream.push(ours.encode("😀")[0]) == Piece()
    assert stream.finish() == Piece(ours.encode("😀")[:1], "\ufffd")
    assert stream.stopped and stream.push(5) == Piece() == stream.finish()


def test_a_token_cut_by_a_stop_is_written_anew() -> None:
    ours = WordTokenizer()
    ids = ours.encode("abc def")
    assert [ours.decode([i]) for i in ids] == ["abc", " def"]
    _, pieces, stopped, _ = streamed(ours, list(ids), ("e",))
    assert stopped
    kept = tuple(token for piece in pieces for token in piece.ids)
    assert kept == ours.encode("abc") + ours.encode(" d")
    assert kept[0] == ids[0], "tokens before the stop are the model's own"


def test_a_cut_in_the_first_token_keeps_the_tail() -> None:
    ours = WordTokenizer()
    ids = list(ours.encode(" def"))
    _, pieces, stopped, _ = streamed(ours, ids, ("e",), " ")
    assert stopped and "".join(p.text for p in pieces) == "d"
    assert ours.decode(token for piece in pieces for token in piece.ids) == " d"


@pytest.mark.parametrize(("text", "want"), [(" yes", "yes"), ("  yes", " yes"), ("yes", "yes")])
def test_the_tail_is_taken_off_once(text: str, want: str) -> None:
    ours = WordTokenizer()
    _, pieces, _, _ = streamed(ours, list(ours.encode(text)), (), " ")
    assert "".join(piece.text for piece in pieces) == want


def test_text_that_may_become_a_stop_is_held_with_its_tokens() -> None:
    ours = WordTokenizer()
    stream = TextStream(ours, ("\n\nUser:",))
    assert stream.push(ours.encode("yes")[0]) == Piece(ours.encode("yes"), "yes")
    newline, user = ours.encode("\n")[0], ours.encode("Us")[0]
    assert stream.push(newline) == Piece()
    assert stream.push(newline) == Piece()
    assert stream.push(user) == Piece()
    assert stream.push(ours.encode("no")[0]) == Piece(
        (newline, newline, user, *ours.encode("no")), "\n\nUsno"
    )


def test_control_tokens_have_no_text_but_stay_in_the_ids() -> None:
    ours = WordTokenizer()
    control = ours.control["<|user|>"]
    stream = TextStream(ours)
    assert stream.push(control) == Piece((control,), "")
