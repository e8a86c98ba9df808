import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.compressors import Count, Words
from ramify.compressors.words import LEVELS
from ramify.retrieval import Passages
from tests.compressors.sources import COUNTS, SOURCES, by_words

EVERY = frozenset[str]().union(*LEVELS)


async def short(source: str | Passages, **target: float) -> str:
    return str(await Words().compress(source, count=by_words, **target))  # type: ignore[arg-type]


async def test_function_words_go_a_class_at_a_time() -> None:
    text = "The mayor of the town is Ada Berg, and it was founded in 1340."
    assert await short(text, rate=1.0) == text
    assert await short(text, rate=0.9) == "mayor of town is Ada Berg, and it was founded in 1340."
    assert await short(text, rate=0.8) == "mayor of town Ada Berg, and it founded in 1340."
    assert await short(text, rate="auto") == "mayor town Ada Berg, founded 1340."  # type: ignore[arg-type]


async def test_capitals_protect_inside_a_sentence() -> None:
    text = "The IT of The Hague. A vitamin A pill. OR is not or."
    assert await short(text, rate="auto") == "IT The Hague. vitamin A pill. OR not or."  # type: ignore[arg-type]


async def test_passages_and_lines_stay_apart() -> None:
    block = Passages.of(["The river is the Bruna.", "the of and"])
    assert await short(block, rate="auto") == "[1] river Bruna.\n[2] the of and"  # type: ignore[arg-type]
    assert await short("- a mill\n- the lake\n\nthe end", rate="auto") == "- mill\n- lake\n\nend"  # type: ignore[arg-type]


async def test_a_rate_out_of_reach_is_said() -> None:
    made = await Words().compress("The mill is old.", rate=0.2, count=by_words)
    assert str(made) == "mill old." and not made.met
    assert made.note == "no function words left, 2 tokens remain"


async def test_the_question_changes_nothing_and_results_are_kept() -> None:
    made = Words()
    assert not made.query_aware and made.deterministic
    first = await made.compress("The mill.", question="a", rate=0.5, count=by_words)
    assert await made.compress("The mill.", question="b", rate=0.5, count=by_words) is first


TARGETS = st.one_of(
    st.sampled_from([0.1, 0.5, 0.8, 1.0, "auto"]).map(lambda rate: {"rate": rate}),
    st.integers(1, 30).map(lambda tokens: {"tokens": tokens}),
)


@given(SOURCES, TARGETS, COUNTS)
def test_only_function_words_go(
    source: str | Passages, target: dict[str, float | int | str], count: Count
) -> None:
    made = asyncio.run(Words().compress(source, count=count, **target))  # type: ignore[arg-type]
    made.check(source)
    assert made.tokens_after == count(str(made))
    assert made.met or made.note or "rate" in target
    before = [source] if isinstance(source, str) else [p.text for p in source]
    after = [made.value] if isinstance(made.value, str) else [p.text for p in made.value]
    left = " ".join(after).split()
    for word in " ".join(before).split():
        if left and word == left[0]:
            left.pop(0)
        else:
            assert word.lower() in EVERY
    assert left == []


@pytest.mark.parametrize("source", ["", "  ", Passages()])
async def test_nothing_to_compress(source: str | Passages) -> None:
    made = await Words().compress(source, rate=0.5, count=by_words)
    assert made.tokens_after == 0


async def test_a_megabyte() -> None:
    text = "The mill is by the lake. " * 40_000
    made = await Words().compress(text, rate="auto", count=by_words)
    assert made.met and str(made).startswith("mill lake. mill lake.")
