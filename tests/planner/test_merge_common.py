from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import Alias, Answer, Call, Generate, Graph, Prompt, Ref, Retrieve, Sampling, Text
from ramify.planner import Context, Options, plan
from ramify.planner.merge_common import merge_common
from tests.planner.graphs import INDEX, programs, quick, shout
from tests.planner.test_work import naive_key

PROMPT = Prompt().append(Text(("hello",)))


def test_before_and_after() -> None:
    graph = Graph("p")
    graph.add(Retrieve(id=0, name="a", index=INDEX, query="x"))
    graph.add(Retrieve(id=1, name="b", index=INDEX, query="x"))
    rewrite = merge_common(graph, Context())
    assert rewrite.graph.nodes[1] == Alias(id=1, name="b", of=0)
    assert rewrite.changed == 1
    assert rewrite.note == "1 merged with earlier work: b"
    assert isinstance(graph.nodes[1], Retrieve)


def test_chains_of_equal_work_merge() -> None:
    graph = Graph("p")
    for start in (0, 2):
        prompt = Prompt().append(Text(("hello",)))  # not the same object
        graph.add(Generate(id=start, prompt=prompt))
        graph.add(Generate(id=start + 1, prompt=prompt.append(Answer(start), Text(("more",)))))
    merged = merge_common(graph, Context()).graph
    merged.check()
    assert [getattr(node, "of", None) for node in merged.nodes.values()] == [None, None, 0, 1]


def test_equal_work_on_one_sampled_answer_merges_in_its_run_only() -> None:
    graph = Graph("p")
    graph.add(Generate(id=0, prompt=PROMPT, sampling=Sampling(temperature=1.0)))
    graph.add(Generate(id=1, prompt=PROMPT, sampling=Sampling(temperature=1.0)))
    for i in range(2, 5):
        graph.add(Call(id=i, function=shout, args=(Ref(int(i > 3)),), pure=True))
    merged = merge_common(graph, Context()).graph
    assert [getattr(node, "of", None) for node in merged.nodes.values()] == [None] * 3 + [2, None]


def test_with_what_ran_before_but_not_with_what_was_lost() -> None:
    def part(node_id: int) -> Graph:
        graph = Graph("p")
        graph.add(Generate(id=node_id, prompt=PROMPT))
        graph.outputs = (Ref(node_id),)
        return graph

    context = Context()
    plan(part(0), context)
    context.done = {0}
    assert isinstance(plan(part(1), context).graph.nodes[1], Alias)
    context.done, context.lost = {0, 1}, {0, 1}
    assert isinstance(plan(part(2), context).graph.nodes[2], Generate)
    context.done = {0, 1, 2}
    assert plan(part(3), context).graph.nodes[3] == Alias(id=3, of=2)
    del context.done  # nothing is known to be there
    context.done = set()
    assert isinstance(plan(part(4), context).graph.nodes[4], Generate)


@quick
@given(programs(most=14))
def test_the_same_as_comparing_all_pairs(graph: Graph) -> None:
    firsts: list[tuple[object, int]] = []
    expected: dict[int, int] = {}
    for node_id in graph.nodes:
        key = naive_key(graph, node_id)
        same = next((first for known, first in firsts if known == key), None)
        if same is None:
            firsts.append((key, node_id))
        else:
            expected[node_id] = same
    rewrite = merge_common(graph, Context())
    rewrite.graph.check()
    found = {n.id: n.of for n in rewrite.graph.nodes.values() if isinstance(n, Alias)}
    assert found == expected
    assert rewrite.changed == len(expected)


@quick
@given(programs(), st.data())
def test_growing_graphs_never_read_what_will_not_run(graph: Graph, data: st.DataObject) -> None:
    context = Context()
    planned: set[int] = set()
    while len(planned) < len(graph.nodes):
        left = [i for i in graph.nodes if i not in planned]
        root = data.draw(st.sampled_from(left))
        more = data.draw(st.sets(st.sampled_from(left)))  # parts may hold more than is needed
        wanted = graph.needed([root, *more], planned)
        part = graph.with_nodes(graph.nodes[i] for i in sorted(wanted))
        part.outputs = (Ref(root),)
        context.done = set(planned)
        made = plan(part, context, Options(passes=("drop_unused", "merge_common")))
        for node in made.graph.nodes.values():
            assert all(i in made.graph.nodes or i in planned for i in node.inputs())
        planned |= made.graph.nodes.keys()
