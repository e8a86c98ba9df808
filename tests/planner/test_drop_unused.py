from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import Call, Graph, Ref
from ramify.planner import Context
from ramify.planner.drop_unused import drop_unused
from tests.planner.graphs import programs, quick


def test_before_and_after() -> None:
    graph = Graph("p")
    a = graph.add(Call(id=0, name="a", function=len, pure=True))
    b = graph.add(Call(id=1, name="b", function=len, args=(Ref(a.id),), pure=True))
    c = graph.add(Call(id=2, name="c", function=len, pure=True))
    graph.add(Call(id=3, name="d", function=len, args=(Ref(c.id),), pure=True))
    graph.outputs = (Ref(b.id),)
    rewrite = drop_unused(graph, Context())
    assert list(rewrite.graph.nodes) == [0, 1]
    assert rewrite.changed == 2
    assert rewrite.note == "2 dropped: c, d"
    assert list(graph.nodes) == [0, 1, 2, 3]


def test_calls_with_effects_stay() -> None:
    graph = Graph("p")
    graph.add(Call(id=0, function=len, pure=True))
    graph.add(Call(id=1, function=print, args=(Ref(0),)))
    assert list(drop_unused(graph, Context()).graph.nodes) == [0, 1]


@quick
@given(programs(), st.data())
def test_exactly_what_is_needed(graph: Graph, data: st.DataObject) -> None:
    done = data.draw(st.sets(st.sampled_from(list(graph.nodes)))) if graph.nodes else set()
    wanted = {ref.node for ref in graph.outputs}
    wanted |= {n.id for n in graph.nodes.values() if isinstance(n, Call) and not n.pure}
    needed: set[int] = set()
    while True:  # until nothing is added
        more = {i for i in wanted if i not in done}
        for node_id in needed:
            more |= {i for i in graph.nodes[node_id].inputs() if i not in done}
        if more <= needed:
            break
        needed |= more
    kept = drop_unused(graph, Context(done=done)).graph
    assert set(kept.nodes) == needed
    assert list(kept.nodes) == [i for i in graph.nodes if i in needed]
    kept.check(done)
