"""Prompts against the naive picture of them: a list of segments."""

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import Answer, Block, Close, Open, Parallel, Prompt, Ref, Text

segments = st.one_of(
    st.builds(lambda t: Text((t,)), st.text(max_size=3)),
    st.builds(Ref, st.integers(0, 9)),
    st.builds(Answer, st.integers(10, 19)),
    st.just(Open("user")),
    st.just(Close("user")),
)


@given(st.lists(segments), st.lists(segments))
def test_append_keeps_the_parent_and_the_order(first: list, second: list) -> None:
    parent = Prompt().append(*first)
    child = parent.append(*second)
    assert parent.segments() == first
    assert child.segments() == first + second
    assert child.segments(since=parent) == second
    assert child.starts_with(parent)
    assert len(child) == len(first) + len(second)


@given(st.lists(segments))
def test_sources_are_what_a_reading_from_the_end_finds(found: list) -> None:
    naive = []
    for segment in reversed(found):
        if isinstance(segment, Answer):
            naive.append(segment.node)
            break
        if isinstance(segment, Ref):
            naive.append(segment.node)
    assert Prompt().append(*found).sources() == naive


def test_forks_do_not_see_each_other() -> None:
    trunk = Prompt().append(Text(("a",)))
    left, right = trunk.append(Text(("b",))), trunk.append(Text(("c",)))
    assert not left.starts_with(right)
    assert left.parent is right.parent is trunk


def test_sources_of_a_join_are_those_of_its_blocks() -> None:
    trunk = Prompt().append(Answer(0))
    branches = [trunk.append(Ref(i), Answer(i + 10)) for i in (1, 2)]
    joined = trunk.append(Parallel(tuple(Block(trunk, b) for b in branches)))
    assert joined.sources() == [11, 12, 0]
    assert joined.append(Ref(5)).sources() == [5, 11, 12, 0]


def test_prompts_may_be_deep() -> None:
    prompt = Prompt()
    for i in range(5000):
        prompt = prompt.append(Ref(i))
    assert len(prompt.segments()) == 5000
    assert len(prompt.sources()) == 5000
