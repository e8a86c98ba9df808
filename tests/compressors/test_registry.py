from collections.abc import Iterator

import pytest

from ramify.compressors import (
    Compressed,
    CompressionError,
    Count,
    Extractive,
    Kept,
    Rate,
    Words,
    get_compressor,
    register,
    unregister,
)
from ramify.retrieval import Passages


class Head:
    """Keeps the first words of a text: a plug-in in a few lines."""

    name = "head"
    query_aware = False
    deterministic = True

    async def compress(
        self,
        source: str | Passages,
        *,
        question: str | None = None,
        rate: Rate | None = None,
        tokens: int | None = None,
        count: Count,
    ) -> Compressed:
        text = str(source)[: tokens or 1]
        return Compressed(
            value=text,
            kept=(Kept(0, len(text)),),
            tokens_before=count(str(source)),
            tokens_after=count(text),
            target=tokens or 1,
            method=self.name,
        )


@pytest.fixture
def plugged_in() -> Iterator[None]:
    register("head", Head)
    yield
    unregister("head")


def test_names_mean_one_object_each() -> None:
    assert isinstance(get_compressor("extractive"), Extractive)
    assert isinstance(get_compressor("words"), Words)
    assert get_compressor("words") is get_compressor("words")


def test_objects_are_taken_as_they_are() -> None:
    made = Head()
    assert get_compressor(made) is made


async def test_a_plug_in(plugged_in: None) -> None:
    made = await get_compressor("head").compress("abcdef", tokens=3, count=len)
    assert str(made) == "abc"
    with pytest.raises(CompressionError, match="'head' is there already"):
        register("head", Head)


def test_unknown_names_and_objects() -> None:
    with pytest.raises(CompressionError, match=r"'extractiv'\. Did you mean 'extractive'\?"):
        get_compressor("extractiv")
    with pytest.raises(CompressionError, match="Known: extractive, gist, words"):
        get_compressor("zzz")
    for wrong in (3, object(), Words):
        with pytest.raises(CompressionError, match="is not a compressor"):
            get_compressor(wrong)  # type: ignore[arg-type]
    with pytest.raises(CompressionError, match="no compressor is named 'zzz'"):
        unregister("zzz")
