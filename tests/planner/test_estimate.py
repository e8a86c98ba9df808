from __future__ import annotations

import networkx
import pytest
from hypothesis import given

from ramify.backend.contract import Profile
from ramify.ir import (
    Answer,
    Block,
    Compress,
    Each,
    Generate,
    Graph,
    JoinMode,
    Parallel,
    Prompt,
    Ref,
    Rerank,
    Retrieve,
    Sampling,
    Select,
    Text,
    View,
)
from ramify.planner import Context, Options, join, plan
from ramify.planner.estimate import Estimates, estimate
from ramify.planner.sizes import BRANCH, Sizes
from tests.planner.graphs import INDEX, SHORTENER, programs, quick
from tests.planner.test_work import naive_key

PROFILE = Profile(
    name="p", context=4096, prefill_s=0.001, decode_s=((1, 0.1), (4, 0.2)), max_batch=4,
    price_input=3.0, price_cached=1.0, price_output=15.0,
)  # fmt: skip
TWO = Sampling(max_tokens=2)


def _count(text: str) -> int:
    return len(text)


def _estimate(graph: Graph) -> Estimates:
    return estimate(graph, Context(profiles={"": PROFILE}, count=_count))


def _graph(*prompts: Prompt) -> Graph:
    graph = Graph("p")
    for i, prompt in enumerate(prompts):
        graph.add(Generate(id=i, prompt=prompt, sampling=TWO))
    graph.outputs = tuple(map(Ref, graph.nodes))
    return graph


def test_siblings_share_and_a_turn_goes_on() -> None:
    system = Prompt().append(Text(("12345",)))
    left, right = system.append(Text(("abc",))), system.append(Text(("de",)))
    found = _estimate(_graph(left, right, left.append(Answer(0), Text(("f",)))))
    numbers = [(n.prompt_tokens, n.cached_tokens, n.output_tokens) for n in found.nodes.values()]
    assert numbers == [(8, 0, 2), (7, 5, 2), (11, 10, 2)]
    first, second, third = found.nodes.values()
    assert first.seconds == pytest.approx(8 * 0.001 + 2 * PROFILE.step_s(2))  # with its sibling
    assert second.start_s == 0
    assert third.start_s == first.end_s
    assert third.seconds == pytest.approx(0.001 + 2 * 0.1)
    assert found.critical == (0, 2)
    assert first.price == pytest.approx((8 * 3 + 2 * 15) / 1e6)
    assert third.price == pytest.approx((1 * 3 + 10 * 1 + 2 * 15) / 1e6)
    assert found.total.computed_tokens == 8 + 2 + 1


def test_equal_content_is_shared_whatever_the_objects() -> None:
    found = _estimate(_graph(*(Prompt().append(Text(("12345",)), Text((c,))) for c in "ab")))
    assert [n.cached_tokens for n in found.nodes.values()] == [0, 5]


def test_each_model_has_its_own_cache() -> None:
    prompt = Prompt().append(Text(("12345",)))
    graph = Graph("p")
    graph.add(Generate(id=0, prompt=prompt, sampling=TWO))
    graph.add(Generate(id=1, prompt=prompt, sampling=TWO, model="small"))
    assert [n.cached_tokens for n in _estimate(graph).nodes.values()] == [0, 0]


@pytest.mark.parametrize(
    ("mode", "repair", "cached"),
    [("kv", 0, 5 + 2 * (3 + 2)), ("kv", 2, 5 + 2 * (3 + 2) - 2), ("text", 0, 5 + 3 + 2)],
)
def test_joined_branches_are_read_again(mode: JoinMode, repair: int, cached: int) -> None:
    fork = Prompt().append(Text(("12345",)))
    branches = [fork.append(Text((word,))) for word in ("abc", "def")]
    blocks = tuple(Block(fork, branch.append(Answer(i))) for i, branch in enumerate(branches))
    joined = fork.append(Parallel(blocks, mode, repair), Text(("end",)))
    found = _estimate(_graph(*branches, joined))
    assert found.nodes[2].prompt_tokens == 5 + 10 + 3
    assert found.nodes[2].cached_tokens == cached


def test_backends_without_parallel_blocks_read_joined_branches_as_text() -> None:
    fork = Prompt().append(Text(("12345",)))
    branches = [fork.append(Text((word,))) for word in ("abc", "def")]
    blocks = tuple(Block(fork, branch.append(Answer(i))) for i, branch in enumerate(branches))
    graph = _graph(*branches, fork.append(Parallel(blocks, "kv")))
    cached = [
        estimate(graph, Context(count=_count, parallel_blocks=able)).nodes[2].cached_tokens
        for able in (None, {""}, {"small"})
    ]
    assert cached == [5 + 10, 5 + 10, 5 + 5]


def test_views_read_no_backend() -> None:
    graph = Graph("p")
    graph.add(View(id=0, prompt=Prompt().append(Text(("12345",)))))
    assert _estimate(graph).total.prompt_tokens == 0


def test_sizes_of_values() -> None:
    nodes = [
        Retrieve(id=0, index=INDEX, query="q", k=10),
        Rerank(id=1, passages=Ref(0), query="q", k=3, reranker=INDEX),
        Compress(id=2, source=Ref(0), rate=0.25, compressor=SHORTENER),
        Compress(id=3, source=Ref(0), tokens=100, compressor=SHORTENER),
        Compress(id=4, source="x" * 40, rate="auto", compressor=SHORTENER),
        Select(id=5, prompt=Prompt(), options=("a", "long")),
        Generate(id=6, prompt=Prompt(), sampling=TWO, samples=3),
    ]
    sizes = Sizes(_count)
    sizes.add(nodes)
    assert sizes.values == {0: 800, 1: 240, 2: 200, 3: 100, 4: 20, 5: 4, 6: 6}


def test_a_full_batch_bounds_the_time() -> None:
    prompts = [Prompt().append(Text((f"{i:05}",))) for i in range(100)]
    found = _estimate(_graph(*prompts))
    assert found.critical_s < 1.0
    assert found.bound_s == pytest.approx(500 * 0.001 + 200 * 0.2 / 4)
    assert found.total.seconds == found.bound_s
    assert found.work_s == pytest.approx(500 * 0.001 + 200 * 0.1)


def test_grown_nodes_have_no_estimates() -> None:
    prompt = Prompt().append(Text(("12345",)))
    context = Context(profiles={"": PROFILE}, count=_count)
    first = plan(_graph(prompt), context)
    context.done = {0}
    later = Graph("p")
    later.add(Generate(id=1, prompt=prompt.append(Answer(0), Text(("!",))), sampling=TWO))
    later.outputs = (Ref(1),)
    second = plan(later, context)
    assert second.estimates.nodes[1].cached_tokens == 7  # the answer of a node that is done
    whole = join([first, second])
    whole.check()
    assert whole.grown == {1}
    assert whole.estimates is first.estimates


@quick
@given(programs())
def test_numbers_that_can_be(graph: Graph) -> None:
    found = plan(graph, Context(), Options(passes=())).estimates
    whole = graph.to_networkx()
    for source, reader in whole.edges:
        whole.edges[source, reader]["seconds"] = found.nodes[source].seconds
    for node_id, one in found.nodes.items():
        assert 0 <= one.cached_tokens <= one.prompt_tokens
        assert one.output_tokens >= 0
        assert one.seconds >= 0
        inputs = graph.nodes[node_id].inputs()
        assert one.start_s == max((found.nodes[i].end_s for i in inputs), default=0.0)
    ends = networkx.DiGraph(whole)
    ends.add_edges_from((i, "end", {"seconds": found.nodes[i].seconds}) for i in graph.nodes)
    longest = networkx.dag_longest_path_length(ends, weight="seconds") if graph.nodes else 0
    assert found.critical_s == pytest.approx(longest)
    assert sum(found.nodes[i].seconds for i in found.critical) == pytest.approx(found.critical_s)
    assert found.bound_s <= found.total.seconds
    again = plan(graph, Context(), Options(passes=())).estimates
    assert again == found


@quick
@given(programs(joins=False, most=16))
def test_cached_is_what_comparing_with_all_earlier_prompts_gives(graph: Graph) -> None:
    """Without joins: the longest beginning that a prompt has in common with an earlier one."""
    found = _estimate(graph)
    sizes = Sizes(_count)
    sizes.add(graph.nodes.values())
    computed: list[tuple[str, object]] = []
    for node in graph.nodes.values():
        prompt, model, branches = getattr(node, "prompt", None), getattr(node, "model", ""), 1
        if isinstance(node, Each):
            prompt, branches = node.start, sizes.values[node.id] // BRANCH
        if prompt is None or isinstance(node, View):
            continue
        cached = 0
        for above in prompt.ancestors():
            key = (model, naive_key(graph, _reader(graph, above)))
            del graph.nodes[max(graph.nodes)]
            segment = above.segment
            if key in computed or (
                isinstance(segment, Answer)
                and getattr(graph.nodes[segment.node], "model", None) == model
            ):
                cached = sizes.prompt(above)
                break
        for above in prompt.ancestors():
            computed.append((model, naive_key(graph, _reader(graph, above))))
            del graph.nodes[max(graph.nodes)]
        followers = (branches - 1) * sizes.prompt(prompt)
        assert found.nodes[node.id].cached_tokens == cached + followers


def _reader(graph: Graph, prompt: Prompt) -> int:
    """A node that does nothing but read a prompt."""
    node = View(id=10_000, prompt=prompt)
    graph.nodes[node.id] = node
    return node.id
