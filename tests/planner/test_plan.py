from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.errors import GraphError, ProgramError
from ramify.ir import Alias, Answer, Call, Generate, Graph, Prompt, Ref, Text
from ramify.planner import DEFAULT_PASSES, PASSES, Context, Options, Plan, join, plan
from tests.planner.graphs import programs, quick, reading
from tests.planner.report import planned, report


def test_the_default_passes_are_exact() -> None:
    made = planned()
    assert [note.name for note in made.notes] == list(DEFAULT_PASSES)
    lossy = {note.name for note in made.notes if note.legality != "exact"}
    assert lossy == {"organize_output"}  # which touches only what the program gave it leave for
    assert [note.changed for note in made.notes] == [0, 1, 0, 1, 0]
    assert "unused" not in [node.name for node in made.graph.nodes.values()]
    made.check()


def test_the_naive_twin_changes_nothing() -> None:
    graph = report()
    made = plan(graph, Context(), Options(passes=()))
    assert made.graph is graph
    assert made.notes == ()
    assert set(made.priorities.values()) == {0.0}
    made.check()


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(ProgramError, match=r"no pass 'fold'.*fold_text"):
        plan(report(), Context(), Options(passes=("fold",)))


@pytest.mark.parametrize("name", DEFAULT_PASSES)
def test_each_pass_alone(name: str) -> None:
    graph = report()
    before = {i: reading(node) for i, node in graph.nodes.items()}
    rewrite = PASSES[name](graph, Context())
    assert PASSES[name].name == name
    rewrite.graph.check()
    assert {i: reading(node) for i, node in graph.nodes.items()} == before


@quick
@given(programs())
def test_plans_are_deterministic_and_whole(graph: Graph) -> None:
    first, again = plan(graph, Context()), plan(graph, Context())
    first.check()
    assert first.priorities == again.priorities
    assert first.notes == again.notes
    assert [reading(n) for n in first.graph.nodes.values()] == [
        reading(n) for n in again.graph.nodes.values()
    ]
    assert first.explain() == again.explain()


@quick
@given(programs(), st.data())
def test_a_run_that_grows(graph: Graph, data: st.DataObject) -> None:
    """Planned bit by bit, every node runs once and reads only what runs."""
    context = Context()
    plans: list[Plan] = []
    planned: set[int] = set()
    while len(planned) < len(graph.nodes):
        root = data.draw(st.sampled_from([i for i in graph.nodes if i not in planned]))
        wanted = graph.needed([root], planned)
        part = graph.with_nodes(graph.nodes[i] for i in sorted(wanted))
        part.outputs = (Ref(root),)
        context.done = set(planned)
        made = plan(part, context)
        made.check()
        assert not planned & made.graph.nodes.keys()
        planned |= made.graph.nodes.keys()
        plans.append(made)
        for node in made.graph.nodes.values():
            assert isinstance(node, Alias) or reading(node) == reading(graph.nodes[node.id])
    if plans:
        whole = join(plans)
        whole.check()
        assert whole.graph.nodes.keys() == graph.nodes.keys()
        assert whole.grown == graph.nodes.keys() - plans[0].graph.nodes.keys()
        assert whole.explain({})


def test_joined_notes_say_what_all_plans_did() -> None:
    def part(node: int, *prompt: str) -> Graph:
        graph = Graph("p")
        texts = [Text((text,)) for text in prompt]
        graph.add(Generate(id=node, prompt=Prompt().append(*texts)))
        graph.outputs = (Ref(node),)
        return graph

    context = Context()
    first = plan(part(0, "a", "b"), context)
    context.done = {0}
    second = plan(part(1, "c", "d", "e"), context)
    notes = {note.name: note for note in join([first, second]).notes}
    assert notes["fold_text"].changed == 3
    assert notes["fold_text"].text == "1 joined to the text before; 2 joined to the text before"
    assert join([first]) is first


def test_check_finds_what_is_wrong() -> None:
    made = planned()
    with pytest.raises(GraphError, match="priorities"):
        Plan(made.graph, (), {}, made.context).check()
    wrong = dict(made.priorities)
    wrong[0] = 0.0
    with pytest.raises(GraphError, match="goes before what it reads"):
        Plan(made.graph, (), wrong, made.context).check()
    missing = made.graph.with_nodes(n for n in made.graph.nodes.values() if n.id)
    with pytest.raises(GraphError, match="not there"):
        Plan(missing, (), {i: made.priorities[i] for i in missing.nodes}, Context()).check()


def test_thousands_of_turns_that_each_look_at_the_answer() -> None:
    context = Context()
    prompt = Prompt()
    planned: set[int] = set()
    for i in range(2000):
        prompt = prompt.append(Text(("a",)), Text(("b",)))
        graph = Graph("p")
        graph.add(Generate(id=i, prompt=prompt))
        graph.outputs = (Ref(i),)
        context.done = planned
        made = plan(graph, context)
        assert len(made.graph.nodes) == 1
        planned.add(i)
        prompt = prompt.append(Answer(i))


def test_effects_are_never_merged() -> None:
    graph = Graph("p")
    for i in range(2):
        graph.add(Call(id=i, function=print))
    assert len(plan(graph, Context()).graph.nodes) == 2
    graph.nodes = {i: replace(node, pure=True) for i, node in graph.nodes.items()}  # type: ignore[type-var]
    graph.outputs = (Ref(0), Ref(1))
    assert plan(graph, Context()).graph.nodes[1] == Alias(id=1, of=0)
