"""What a row needs of a cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ramify.ir import Answer, Generate, Graph, Open, Prompt, Sampling, Text
from ramify.planner import Context, footprint, order_rows, shared_with_before
from ramify.planner.sizes import OPENING

forks = st.lists(
    st.tuples(st.integers(0, 20), st.text("xy ", max_size=9), st.integers(1, 9)), max_size=8
)


def _grown(text: str, steps: list[tuple[int, str, int]]) -> Graph:
    """A row whose prompts fork from each other at random."""
    graph = Graph("p")
    prompts = [Prompt().append(Open("user"), Text((text,)))]
    for at, more, tokens in steps:
        prompt = prompts[at % len(prompts)].append(Text((more,)))
        node = Generate(id=graph.next_id(), prompt=prompt, sampling=Sampling(max_tokens=tokens))
        graph.add(node)
        prompts += [prompt, prompt.append(Answer(node.id))]
    return graph


def _naive(graph: Graph) -> int:
    """Every step of every prompt once, and every answer."""
    steps, tokens = set(), 0
    for node in graph.nodes.values():
        assert isinstance(node, Generate)
        tokens += node.sampling.max_tokens
        prompt = node.prompt
        while prompt.parent is not None:
            steps.add(prompt)
            prompt = prompt.parent
    for step in steps:
        if isinstance(step.segment, Text):
            tokens += sum(map(len, step.segment.parts))
        elif isinstance(step.segment, Open):
            tokens += OPENING
    return tokens


@given(forks)
def test_a_prefix_counts_once(steps: list[tuple[int, str, int]]) -> None:
    graph = _grown("a beginning", steps)
    assert footprint(graph, len) == _naive(graph)
    assert footprint(graph, len, block=16) >= footprint(graph, len)
    assert footprint(graph, len, model="another") == 0


def test_rows_share_what_they_begin_with() -> None:
    graphs = [
        _grown(text, [(0, "", 1)]) for text in ("one document: a", "another", "one document: b")
    ]
    order = order_rows(graphs, Context())
    assert order == [0, 2, 1]
    first, same, other = shared_with_before([graphs[i] for i in order])
    assert first == 0 and same - other == len("one document: ")
    assert shared_with_before([]) == []
