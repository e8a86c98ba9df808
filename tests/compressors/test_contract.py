import pytest

from ramify.compressors import Compressed, CompressionError, Compressor, Extractive, Kept, Words
from ramify.compressors.contract import source_of, target_of
from ramify.retrieval import Passage, Passages, Span, cite

TEXT = "One. Two. Three."
BLOCK = Passages.of(["One. Two.", "Three. Four.", "Five."])


def made(value: str | Passages, *kept: Kept, after: int = 1, target: int = 2) -> Compressed:
    return Compressed(
        value=value, kept=kept, tokens_before=4, tokens_after=after, target=target, method="test"
    )


def test_figures() -> None:
    short = made("One.", Kept(0, 4))
    assert (str(short), short.rate, short.met, len(short), short[0]) == ("One.", 0.25, True, 4, "O")
    assert not made("One.", after=3).met
    empty = Compressed(value="", kept=(), tokens_before=0, tokens_after=0, target=0, method="test")
    assert empty.rate == 1.0 and empty.met
    with pytest.raises(CompressionError, match="no passages"):
        _ = short.passages


def test_a_compression_of_passages_is_read_like_passages() -> None:
    short = made(Passages([BLOCK[1].kept([Span(0, 6)])]), Kept(0, 6, 2))
    short.check(BLOCK)
    assert str(short) == "[2] Three."
    assert [p.number for p in short] == [2]
    assert short[0].text == "Three."
    assert cite("It is three [2], not [1].", short).unknown == (1,)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("One. Three.", (Kept(0, 4), Kept(5, 9))),
        ("Two. One.", (Kept(5, 9), Kept(0, 4))),
        ("One. One.", (Kept(0, 4), Kept(0, 4))),
    ],
)
def test_check_sees_what_does_not_fit(value: str, kept: tuple[Kept, ...]) -> None:
    with pytest.raises(CompressionError, match="not made of the kept pieces"):
        made(value, *kept).check(TEXT)


def test_check_sees_renumbered_passages() -> None:
    with pytest.raises(CompressionError, match="not made of"):
        made(Passages.of(BLOCK[1:2]), Kept(0, 12, 2)).check(BLOCK)


def test_sources() -> None:
    assert source_of("x") == "x"
    assert source_of(BLOCK) is BLOCK
    assert source_of(made(BLOCK)) is BLOCK
    assert source_of(["a", "b"]) == Passages.of(["a", "b"])
    assert source_of([BLOCK[2], BLOCK[0]]) == Passages([BLOCK[2], BLOCK[0]])
    assert source_of([Passage(id="x", text="t"), "b"]).numbers == (1, 2)  # type: ignore[union-attr]
    assert source_of(BLOCK[1]) == BLOCK[1:2]
    with pytest.raises(CompressionError, match="a int cannot be compressed"):
        source_of(3)


def test_targets() -> None:
    assert target_of(0.5, None, 9) == 4
    assert target_of(1, None, 9) == 9
    assert target_of(None, 7, 9) == 7
    assert target_of("auto", None, 9) is target_of(None, None, 9) is None


@pytest.mark.parametrize(
    ("rate", "tokens", "message"),
    [
        (0, None, "rate=0 is not allowed"),
        (1.1, None, "over 0, at most 1"),
        (float("nan"), None, "rate=nan"),
        (True, None, "rate=True"),
        ("half", None, "rate='half'"),
        (None, 0, "tokens=0 is not allowed"),
        (None, 2.5, "an int from 1 up"),
        (0.5, 10, "both given"),
    ],
)
@pytest.mark.parametrize("compressor", [Extractive(dense=False), Words()])
async def test_targets_that_cannot_be(
    compressor: Compressor, rate: float, tokens: int, message: str
) -> None:
    for source in (TEXT, ""):
        with pytest.raises(CompressionError, match=message):
            await compressor.compress(source, rate=rate, tokens=tokens, count=len)


@pytest.mark.parametrize("compressor", [Extractive(dense=False), Words()])
async def test_options_that_nobody_knows(compressor: Compressor) -> None:
    assert isinstance(compressor, Compressor)
    with pytest.raises(TypeError, match="ratio"):
        await compressor.compress(TEXT, ratio=3, count=len)  # type: ignore[call-arg]
