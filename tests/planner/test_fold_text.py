from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import (
    Answer,
    Block,
    Each,
    Generate,
    Graph,
    Open,
    Parallel,
    Prompt,
    Prompted,
    Ref,
    Text,
)
from ramify.planner import Context, Options, plan
from ramify.planner.fold_text import fold_text
from tests.planner.graphs import blocks_of, flat, programs, quick, reading


def _texts(prompt: Prompt) -> list[tuple[str, ...]]:
    return [s.parts for s in prompt.segments() if isinstance(s, Text)]


def test_neighbours_become_one_text() -> None:
    prompt = Prompt().append(Text(("a",)), Text(("b",)), Open("user"), Text(("c",)))
    graph = Graph("p")
    graph.add(Generate(id=0, prompt=prompt))
    rewrite = fold_text(graph, Context())
    assert _texts(rewrite.graph.nodes[0].prompt) == [("a", "b"), ("c",)]  # type: ignore[attr-defined]
    assert rewrite.changed == 1
    assert _texts(prompt) == [("a",), ("b",), ("c",)]  # the graph that was given is as it was


def test_a_fork_and_the_end_of_a_prompt_stay() -> None:
    shared = Prompt().append(Text(("a",)), Text(("b",)))
    left, right = shared.append(Text(("c",))), shared.append(Text(("d",)))
    graph = Graph("p")
    for i, prompt in enumerate((left, right, left.append(Text(("e",)), Text(("f",))))):
        graph.add(Generate(id=i, prompt=prompt))
    folded = [n.prompt for n in fold_text(graph, Context()).graph.nodes.values()]  # type: ignore[attr-defined]
    assert [_texts(p) for p in folded] == [
        [("a", "b"), ("c",)], [("a", "b"), ("d",)], [("a", "b"), ("c",), ("e", "f")],
    ]  # fmt: skip
    assert folded[0].parent is folded[1].parent
    assert folded[2].starts_with(folded[0])


def test_nothing_to_fold_leaves_the_graph_itself() -> None:
    graph = Graph("p")
    graph.add(Generate(id=0, prompt=Prompt().append(Open("user"), Text(("a",)))))
    assert fold_text(graph, Context()).graph is graph


def test_a_block_that_starts_inside_of_what_was_folded_before() -> None:
    """A fork of a state that went on, looked at before the join: the join comes in a later plan."""
    fork = Prompt().append(Text(("a",)), Text(("b",)))
    branch = fork.append(Text(("c",)), Text(("d",)))
    context = Context()
    first = Graph("p")
    first.add(Generate(id=0, prompt=branch))
    fold_text(first, context)
    ended = branch.append(Answer(0), Text(("e",)), Text(("f",)))
    later = Graph("p")
    later.add(Generate(id=1, prompt=fork.append(Parallel((Block(fork, ended),)), Text(("g",)))))
    prompt = fold_text(later, context).graph.nodes[1].prompt  # type: ignore[attr-defined]
    (block,) = blocks_of(prompt)
    assert block.stop.starts_with(block.start)
    assert flat(block.stop, block.start) == ["c", "d", Answer(0), "e", "f"]
    assert prompt.starts_with(block.start)


@quick
@given(programs())
def test_parts_and_the_trie_stay(graph: Graph) -> None:
    before = {i: reading(node) for i, node in graph.nodes.items()}
    folded = fold_text(graph, Context()).graph
    folded.check()
    assert {i: reading(node) for i, node in folded.nodes.items()} == before
    assert {i: reading(node) for i, node in graph.nodes.items()} == before
    pairs = [
        (old.prompt, new.prompt)
        for old, new in zip(graph.nodes.values(), folded.nodes.values(), strict=True)
        if isinstance(old, Prompted) and isinstance(new, Prompted)
    ]
    for (a, a2), (b, b2) in combinations(pairs, 2):
        assert (a is b) == (a2 is b2)
        assert a.starts_with(b) == a2.starts_with(b2)
        assert b.starts_with(a) == b2.starts_with(a2)
        assert _parts(_meet(a, b)) == _parts(_meet(a2, b2))


@quick
@given(programs())
def test_all_that_can_fold_does(graph: Graph) -> None:
    folded = fold_text(graph, Context()).graph
    prompts = [p for node in folded.nodes.values() for p in _reachable(node)]
    ends = {id(p) for p in prompts}
    children: dict[int, set[int]] = {}
    for prompt in prompts:
        for above in prompt.ancestors():
            if above.parent is not None:
                children.setdefault(id(above.parent), set()).add(id(above))
    for prompt in prompts:
        for above in prompt.ancestors():
            parent = above.parent
            if parent is None or {type(above.segment), type(parent.segment)} != {Text}:
                continue
            assert id(parent) in ends or len(children[id(parent)]) > 1


@quick
@given(programs(), st.data())
def test_growing_graphs_fold_alike(graph: Graph, data: st.DataObject) -> None:
    """The same run planned in several parts, as a program looks at one value after another."""
    context = Context()
    planned: dict[int, object] = {}
    nodes = list(graph.nodes)
    while len(planned) < len(nodes):
        root = data.draw(st.sampled_from([i for i in nodes if i not in planned]))
        wanted = graph.needed([root], planned.keys())
        part = graph.with_nodes(graph.nodes[i] for i in sorted(wanted))
        part.outputs = (Ref(root),)
        context.done = set(planned)
        made = plan(part, context, Options(passes=("fold_text",)))
        made.check()
        for node in made.graph.nodes.values():
            assert reading(node) == reading(graph.nodes[node.id])
            for prompt in _reachable(node):
                for block in blocks_of(prompt):
                    assert block.stop.starts_with(block.start)
            planned[node.id] = node


def _reachable(node: object) -> list[Prompt]:
    found = []
    if isinstance(node, Prompted):
        found.append(node.prompt)
    if isinstance(node, Each):
        found.append(node.start)
    for branch in getattr(node, "branches", ()):
        found += [branch.block.start, branch.block.stop]
    for prompt in list(found):
        for block in blocks_of(prompt):
            found += [block.start, block.stop]
    return found


def _meet(a: Prompt, b: Prompt) -> Prompt:
    """Where two prompts part; an empty prompt where they never met."""
    above = set(map(id, a.ancestors()))
    return next((p for p in b.ancestors() if id(p) in above), Prompt())


def _parts(prompt: Prompt) -> int:
    return len(flat(prompt))


def test_deep_prompts_and_many_forks_are_walked_once() -> None:
    graph = Graph("p")
    prompt = Prompt()
    for i in range(5000):
        prompt = prompt.append(Text((str(i),)))
    for i in range(1000):
        graph.add(Generate(id=graph.next_id(), prompt=prompt.append(Text((f"fork {i}",)))))
    folded = fold_text(graph, Context()).graph
    assert {n.prompt.depth for n in folded.nodes.values()} == {2}  # type: ignore[attr-defined]
    deep = Graph("p")
    for i in range(5000):
        prompt = prompt.append(Text((str(i),)))
        deep.add(Generate(id=deep.next_id(), prompt=prompt))
        prompt = prompt.append(Answer(i), Text(("x",)))
    nodes = list(fold_text(deep, Context()).graph.nodes.values())
    assert nodes[-1].prompt.depth == 1 + 4999 * 2 + 0  # type: ignore[attr-defined]
