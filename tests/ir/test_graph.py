import pytest

from ramify.errors import GraphError
from ramify.ir import Answer, Call, Generate, Graph, Pack, Prompt, Ref, Template, Text


def chain(n: int) -> Graph:
    graph = Graph("p")
    prompt = Prompt().append(Text(("x",)))
    for i in range(n):
        graph.add(Generate(id=graph.next_id(), prompt=prompt))
        prompt = prompt.append(Answer(i))
    graph.outputs = (Ref(n - 1),)
    return graph


def test_inputs_are_found_in_operands_however_nested() -> None:
    operand = Pack((Template(("a", Ref(1))), Pack((Ref(2), "x"), keys=("k", "l"))))
    node = Call(id=9, function=len, args=(operand, Ref(1)), kwargs=(("z", Ref(3)),))
    assert node.inputs() == [1, 2, 3]


def test_needed_is_the_closure_without_what_is_done() -> None:
    graph = chain(4)
    graph.add(Call(id=graph.next_id(), function=len))
    assert graph.needed([3]) == {0, 1, 2, 3}
    assert graph.needed([3], done=[1]) == {2, 3}


def test_check_finds_a_missing_input_and_a_later_one() -> None:
    graph = chain(2)
    graph.check()
    graph.add(Call(id=graph.next_id(), function=len, args=(Ref(7),)))
    with pytest.raises(GraphError, match=r"'p'.*'call#2'.*node 7"):
        graph.check()
    graph.check(done=[7])
    graph.add(Call(id=graph.next_id(), function=len, args=(Ref(4),)))
    graph.add(Call(id=graph.next_id(), function=len))
    with pytest.raises(GraphError, match="comes later"):
        graph.check(done=[7])


def test_check_finds_an_answer_out_of_its_place() -> None:
    graph = chain(1)
    wrong = Prompt().append(Text(("y",)), Answer(0))
    graph.add(Generate(id=graph.next_id(), prompt=wrong))
    with pytest.raises(GraphError, match="does not follow its own prompt"):
        graph.check()


def test_networkx_has_the_same_edges() -> None:
    assert sorted(chain(3).to_networkx().edges) == [(0, 1), (1, 2)]


def test_deep_graphs_need_no_recursion() -> None:
    graph = chain(5000)
    graph.check()
    assert len(graph.needed([4999])) == 5000


def test_a_graph_shows_itself_in_notebooks() -> None:
    import ramify.planner  # noqa: F401  # fills the drawer

    bundle = chain(2)._repr_mimebundle_()
    assert "<svg" in bundle["text/html"] and "generate" in bundle["text/plain"]
    assert "http://" not in bundle["text/html"].replace("http://www.w3.org/2000/svg", "")
