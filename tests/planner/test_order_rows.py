from __future__ import annotations

from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import Answer, Close, Generate, Graph, Open, Prompt, Ref, Retrieve, Text
from ramify.planner import Context, order_rows
from ramify.planner.heads import Item, heads, shared
from tests.planner.graphs import INDEX, quick

parts = st.lists(st.sampled_from(["a", "b", "cc", "cca", "ccb", ""]), max_size=4)
rows = st.lists(parts, min_size=1, max_size=6)


def _row(texts: list[str], *more: list[str]) -> Graph:
    """A row of one prompt per list."""
    graph = Graph("p")
    for parts in (texts, *more):
        prompt = Prompt().append(Open("user"), *(Text((part,)) for part in parts), Close("user"))
        graph.add(Generate(id=graph.next_id(), prompt=prompt))
    return graph


def _shared(a: list[Item], b: list[Item]) -> int:
    """The naive twin of `shared`."""
    count = 0
    for x, y in zip(a, b, strict=False):
        for one, other in zip(x, y, strict=False):
            if one != other:
                return count
            count += 1
        if x != y:
            break
    return count


def _total(graphs: list[Graph], order: list[int]) -> int:
    """What adjacent rows share: what a cache of one path need not compute again."""
    contents = [heads(graphs[i])[0] for i in order]
    return sum(_shared(a, b) for a, b in pairwise(contents))


def test_before_and_after() -> None:
    graphs = [_row(["doc1", "q1"]), _row(["doc2", "q2"]), _row(["doc1", "q3"])]
    assert order_rows(graphs, Context()) == [0, 2, 1]


def test_equal_rows_keep_their_order() -> None:
    assert order_rows([_row(["a"]) for _ in range(5)], Context()) == [0, 1, 2, 3, 4]
    assert order_rows([], Context()) == []
    assert order_rows([Graph("p"), _row(["a"]), Graph("p")], Context()) == [0, 1, 2]


def test_a_group_comes_where_its_first_row_was_whatever_its_texts_are() -> None:
    """By text, the first row of the group is its last one."""
    texts = (["doc2", "q9"], ["doc1", "q0"], ["doc1", "q1"], ["doc2", "q0"])
    assert order_rows([_row(text) for text in texts], Context()) == [0, 3, 1, 2]


def test_rows_that_share_nothing_keep_their_order() -> None:
    assert order_rows([_row([text]) for text in "zebra"], Context()) == [0, 1, 2, 3, 4]


def test_what_is_shared_inside_of_a_text_counts() -> None:
    graphs = [_row([f"document {i % 2}: question {i}"]) for i in range(4)]
    assert order_rows(graphs, Context()) == [0, 2, 1, 3]


def test_the_prompts_that_share_most_count_first() -> None:
    """A short first prompt that every row has for itself does not hide the shared document."""
    documents = ["a long document", "the other long document"]
    graphs = [_row([f"classify {i}"], [documents[i % 2], f"q{i}"]) for i in range(6)]
    assert order_rows(graphs, Context()) == [0, 2, 4, 1, 3, 5]


def test_folding_changes_no_order() -> None:
    split = [_row(["doc1", "q1"]), _row(["doc2", "q2"]), _row(["doc1", "q3"])]
    folded = []
    for texts in (("doc1", "q1"), ("doc2", "q2"), ("doc1", "q3")):
        graph = Graph("p")
        graph.add(Generate(id=0, prompt=Prompt().append(Open("user"), Text(texts))))
        folded.append(graph)
    assert order_rows(split, Context()) == order_rows(folded, Context())


def test_only_what_is_known_counts() -> None:
    graph = Graph("p")
    graph.add(Retrieve(id=0, index=INDEX, query="q"))
    first = Prompt().append(Open("user"), Text(("a",)))
    graph.add(Generate(id=1, prompt=first.append(Ref(0), Text(("b",)))))
    graph.add(Generate(id=2, prompt=first.append(Text(("c",)))))
    after = first.append(Ref(0), Text(("b",))).append(Answer(1), Text(("d",)))
    graph.add(Generate(id=3, prompt=after))
    (items,) = heads(graph)
    assert [item for item in items if not item.startswith("\0")] == ["a", "c"]


@quick
@given(rows)
def test_no_order_shares_more(contents: list[list[str]]) -> None:
    graphs = [_row(texts) for texts in contents]
    order = order_rows(graphs, Context())
    assert sorted(order) == list(range(len(graphs)))
    best = max(_total(graphs, list(some)) for some in permutations(range(len(graphs))))
    assert _total(graphs, order) == best
    for a, b in pairwise(map(heads, graphs)):
        assert shared(a[0], b[0]) == _shared(a[0], b[0])


@quick
@given(rows)
def test_groups_come_in_the_order_in_which_they_are_seen(contents: list[list[str]]) -> None:
    graphs = [_row(texts) for texts in contents]
    order = order_rows(graphs, Context())
    assert order[0] == 0
    for group in {"".join(texts[:1]) for texts in contents if texts}:
        inside = [i for i in order if contents[i][:1] == [group]]
        if inside:
            assert inside[0] == min(inside)


@quick
@given(st.lists(st.tuples(parts, parts), min_size=1, max_size=12))
def test_rows_that_are_alike_in_everything_are_side_by_side(
    contents: list[tuple[list[str], list[str]]],
) -> None:
    graphs = [_row(first, second) for first, second in contents]
    order = order_rows(graphs, Context())
    assert sorted(order) == list(range(len(graphs)))
    seen: list[tuple[list[str], list[str]]] = []
    for i in order:
        if contents[i] in seen:
            assert seen[-1] == contents[i]
        seen.append(contents[i])
    leaders = {}
    for i in order:
        leaders.setdefault(str(contents[i]), i)
    assert all(i == min(j for j in order if str(contents[j]) == key) for key, i in leaders.items())
