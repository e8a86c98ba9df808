from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import (
    Alias,
    Answer,
    Block,
    Call,
    Compress,
    Constraint,
    Each,
    First,
    Forks,
    Generate,
    Graph,
    Node,
    Open,
    Pack,
    Parallel,
    Prompt,
    Ref,
    Sampling,
    Template,
    Text,
    Tool,
)
from ramify.planner import Context, Options, plan, work_keys
from ramify.planner.work import find_works
from tests.planner.graphs import INDEX, programs, quick, shout


def naive_key(graph: Graph, node_id: int) -> Any:
    """The work of a node written out in full, or a key of its own: the naive twin."""
    node = graph.nodes[node_id]
    own = ("own", node_id)
    sampled = isinstance(node, Generate) and not node.sampling.deterministic
    if sampled or isinstance(node, Each | First) or (isinstance(node, Call) and not node.pure):
        return own
    if isinstance(node, Alias):
        return naive_key(graph, node.of)

    def operand(value: Any) -> Any:
        if isinstance(value, Ref):
            return ("ref", value.path, naive_key(graph, value.node))
        if isinstance(value, Template):
            return ("template", [operand(part) for part in value.parts])
        if isinstance(value, list | tuple):
            return (type(value).__name__, [operand(item) for item in value])
        return (type(value).__name__, repr(value))

    def prompt(of: Prompt) -> Any:
        found: list[Any] = []
        for segment in of.segments():
            if isinstance(segment, Text):
                found += segment.parts
            elif isinstance(segment, Answer):
                found.append(("answer", naive_key(graph, segment.node)))
            elif isinstance(segment, Ref):
                found.append(operand(segment))
            elif isinstance(segment, Parallel) and isinstance(segment.blocks, tuple):
                blocks = [(prompt(b.start), prompt(b.stop)) for b in segment.blocks]
                found.append((segment.mode, blocks))
            elif isinstance(segment, Parallel):
                found.append((segment.mode, operand(segment.blocks)))
            else:
                found.append(segment)
        return found

    key: list[Any] = [type(node).__name__]
    for name in type(node).__dataclass_fields__:
        value = getattr(node, name)
        if name in ("id", "name", "scope"):
            continue
        if name == "sampling" and value.temperature == 0:
            value = replace(value, seed=None)
        key.append(prompt(value) if isinstance(value, Prompt) else operand(value))
    return key


def _keys(graph: Graph) -> dict[int, Any]:
    return work_keys(graph, Context())


@quick
@given(programs(most=14))
def test_equal_exactly_where_the_naive_twin_is(graph: Graph) -> None:
    context = Context()
    find_works(graph, context)
    nodes = list(graph.nodes)
    naive = {i: naive_key(graph, i) for i in nodes}
    for a in nodes:
        for b in nodes:
            assert (context.works[a] == context.works[b]) == (naive[a] == naive[b])


@quick
@given(programs(), st.data())
def test_keys_do_not_depend_on_run_order_or_folding(graph: Graph, data: st.DataObject) -> None:
    keys = _keys(graph)
    assert _keys(graph) == keys
    folded = plan(graph, Context(), Options(passes=("fold_text",))).graph
    assert _keys(folded) == keys
    context = Context()
    for start in range(0, len(graph.nodes), 2):  # a graph that grows
        part = graph.with_nodes(list(graph.nodes.values())[start : start + 2])
        assert work_keys(part, context) == {i: keys[i] for i in part.nodes if i in keys}


@quick
@given(programs())
def test_no_key_downstream_of_what_has_none(graph: Graph) -> None:
    keys = _keys(graph)
    for node in graph.nodes.values():
        if any(source not in keys for source in node.inputs()):
            assert node.id not in keys


PROMPT = Prompt().append(Open("user"), Text(("hello",)))


def _graph(*nodes: Node) -> Graph:
    graph = Graph("p")
    for node in nodes:
        graph.add(node)
    return graph


def _key(*nodes: Node) -> Any:
    return _keys(_graph(*nodes)).get(nodes[-1].id)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": PROMPT.append(Text(("!",)))},
        {"prompt": Prompt().append(Open("system"), Text(("hello",)))},
        {"prompt": Prompt().append(Open("user"), Text(("hel", "lo")))},  # other tokens
        {"model": "small"},
        {"samples": 2},
        {"sampling": Sampling(max_tokens=3)},
        {"sampling": Sampling(stop=("x",))},
        {"constraint": Constraint("regex", "a+")},
        {"parse": int},
        {"lenient": True},
        {"forks": Forks()},
        {"tools": (Tool("look_up", "Finds.", "{}"),)},
    ],
)
def test_different_work(other: dict[str, Any]) -> None:
    node = Generate(id=0, prompt=PROMPT)
    assert _key(node) is not None
    assert _key(node) != _key(replace(node, **other))


def test_names_and_scopes_are_no_work() -> None:
    node = Generate(id=0, prompt=PROMPT)
    assert _key(node) == _key(replace(node, id=7, name="x", scope="p/b[1]"))


def test_an_answer_is_not_its_text() -> None:
    first = Generate(id=0, prompt=PROMPT)
    answer = Generate(id=1, prompt=PROMPT.append(Answer(0)))
    text = Generate(id=1, prompt=PROMPT.append(Ref(0)))
    assert _key(first, answer) != _key(first, text)


def test_the_backend_behind_a_model_counts() -> None:
    from ramify.backend.contract import Profile

    graph = _graph(Generate(id=0, prompt=PROMPT))
    one = Context(profiles={"": Profile(name="one", context=10)})
    other = Context(profiles={"": Profile(name="other", context=10)})
    assert work_keys(graph, one) != work_keys(graph, other)
    shorter = _graph(Compress(id=0, source="text", compressor=INDEX, tokens=9))
    assert work_keys(shorter, one) != work_keys(shorter, other)  # another tokenizer


def test_calls() -> None:
    assert _key(Call(id=0, function=shout)) is None
    pure = Call(id=0, function=shout, args=(1, {"a": [2]}), pure=True)
    assert _key(pure) == _key(replace(pure, args=(1, {"a": [2]})))
    assert _key(pure) != _key(replace(pure, args=(1, {"a": [3]})))
    assert _key(pure) != _key(replace(pure, args=(1,), kwargs=(("a", [2]),)))
    assert _key(pure) != _key(replace(pure, function=len))
    assert _key(replace(pure, args=(object(),))) is None
    plain, named = Pack((1,)), Pack((1,), ("a",))
    assert _key(replace(pure, args=(plain,))) != _key(replace(pure, args=(named,)))


class Chancy:
    deterministic = False


def test_services_that_are_not_deterministic_have_no_key() -> None:
    node = Compress(id=0, source="text", compressor=INDEX, rate=0.5)
    assert _key(node) is not None
    assert _key(replace(node, compressor=Chancy())) is None


def test_objects_that_count_by_identity_live_as_long_as_the_key() -> None:
    keys = set()
    for _ in range(50):  # functions that come and go, often at the same address
        keys.add(_key(Call(id=0, function=lambda: 1, pure=True)))
    assert len(keys) == 50
    reader = Generate(id=1, prompt=PROMPT.append(Ref(0)))
    read = [_key(Call(id=0, function=lambda: 1, pure=True), reader) for _ in range(50)]
    assert len(set(read)) == 50


def test_deep_and_wide() -> None:
    graph = Graph("p")
    prompt = Prompt()
    for i in range(5000):
        prompt = prompt.append(Text((str(i),)))
    for above in list(prompt.ancestors())[1:4001:4]:  # the deepest fork first
        graph.add(Generate(id=graph.next_id(), prompt=above.append(Text(("fork",)))))
    assert len(set(_keys(graph).values())) == 1000
    chain = Graph("p")
    prompt = PROMPT
    for i in range(5000):
        chain.add(Generate(id=i, prompt=prompt))
        prompt = prompt.append(Answer(i))
    for _ in range(200):  # branches in branches
        inner = prompt.append(Text(("x",)))
        prompt = prompt.append(Parallel((Block(prompt, inner),)))
    chain.add(Generate(id=5000, prompt=prompt))
    nested = prompt
    for _ in range(2000):
        nested = Prompt().append(Parallel((Block(Prompt(), nested),)))
    chain.add(Generate(id=5001, prompt=nested))
    keys = _keys(chain)
    assert len(set(keys.values())) == 5002
