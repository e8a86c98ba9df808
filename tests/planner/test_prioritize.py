from __future__ import annotations

import networkx
import pytest
from hypothesis import given

from ramify.backend.contract import Profile
from ramify.errors import GraphError
from ramify.ir import Alias, Answer, Call, Each, Generate, Graph, Prompt, Ref, Sampling, Text
from ramify.planner import Context, plan
from ramify.planner.order import in_order
from ramify.planner.prioritize import own_seconds, prioritize
from tests.planner.graphs import programs, quick


@quick
@given(programs())
def test_the_longest_path_by_networkx(graph: Graph) -> None:
    own = own_seconds(graph, Context())
    found = prioritize(graph, Context()).priorities
    assert found is not None
    whole = graph.to_networkx()
    for node_id in graph.nodes:
        below = whole.subgraph({node_id, *networkx.descendants(whole, node_id)}).copy()
        for source, reader in below.edges:
            below.edges[source, reader]["seconds"] = own[source]
        below.add_edges_from(((i, "end") for i in graph.nodes if i in below), seconds=0.0)
        for source in list(below.predecessors("end")):
            below.edges[source, "end"]["seconds"] = own[source]
        longest = networkx.dag_longest_path_length(below, weight="seconds")
        assert found[node_id] == pytest.approx(longest)


def _profile() -> Profile:
    return Profile(name="p", context=100, prefill_s=0.001, decode_s=((1, 0.5),))


def test_by_the_profile_of_the_model() -> None:
    graph = Graph("p")
    prompt = Prompt().append(Text(("x" * 40,)))
    graph.add(Generate(id=0, prompt=prompt, sampling=Sampling(max_tokens=2)))
    after = prompt.append(Answer(0), Text(("y" * 80,)))
    graph.add(Generate(id=1, prompt=after, sampling=Sampling(max_tokens=4)))
    graph.outputs = (Ref(1),)
    found = plan(graph, Context(profiles={"": _profile()})).priorities
    # the second prompt has 2 tokens of the answer and 20 of text that the first one had not
    assert found[1] == pytest.approx(4 * 0.5 + 22 * 0.001)
    assert found[0] == pytest.approx(found[1] + 2 * 0.5 + 10 * 0.001)


def test_a_shared_prefix_counts_once() -> None:
    graph = Graph("p")
    prompt = Prompt().append(Text(("x" * 4000,)))
    for i in range(2):
        graph.add(Generate(id=i, prompt=prompt.append(Text(("yyyy",)))))
    own = own_seconds(graph, Context(profiles={"": _profile()}))
    assert own[0] - own[1] == pytest.approx(1000 * 0.001)


def test_branches_that_are_not_known_count() -> None:
    graph = Graph("p")
    graph.add(Call(id=0, function=len, pure=True))
    graph.add(Each(id=1, items=Ref(0), start=Prompt(), grow=lambda items: ()))
    found = prioritize(graph, Context(profiles={"": _profile()})).priorities
    assert found is not None
    assert found[0] > found[1] > 1.0


def test_an_order_that_is_not_that_of_tracing() -> None:
    graph = Graph("p")
    graph.add(Alias(id=0, of=1))
    graph.add(Call(id=1, function=len))
    assert [node for node, _ in in_order(graph)] == [1, 0]
    found = prioritize(graph, Context()).priorities
    assert found is not None
    assert found[1] >= found[0]
    graph.nodes[1] = Alias(id=1, of=0)
    with pytest.raises(GraphError, match="wait for each other"):
        in_order(graph)


def test_thousands_of_turns() -> None:
    graph = Graph("p")
    prompt = Prompt()
    for i in range(5000):
        graph.add(Generate(id=i, prompt=prompt))
        prompt = prompt.append(Answer(i), Text(("more",)))
    found = prioritize(graph, Context()).priorities
    assert found is not None
    assert list(found.values()) == sorted(found.values(), reverse=True)
