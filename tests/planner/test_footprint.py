"""What a row needs of a cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.backend.contract import Profile
from ramify.ir import Answer, Generate, Graph, Open, Prompt, Ref, Sampling, Text
from ramify.planner import Context, Footprint, footprint, order_rows, shared_with_before
from ramify.planner.sizes import OPENING

UNITS = Profile(name="units", context=1000, prefill_s=0.0, decode_s=((1, 1.0),))

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


def _naive(graph: Graph) -> tuple[int, float]:
    """The most that is held in a unit of time, and the mean: what is held in each of them.

    A node takes as many units as it writes tokens, and begins when what it reads is there.
    """
    nodes = [node for node in graph.nodes.values() if isinstance(node, Generate)]
    spans: dict[int, range] = {}
    for node in nodes:
        start = max((spans[i].stop for i in node.inputs()), default=0)
        spans[node.id] = range(start, start + node.sampling.max_tokens)
    readers: dict[Prompt, list[range]] = {}
    answers: dict[int, list[range]] = {node.id: [spans[node.id]] for node in nodes}
    for node in nodes:
        prompt = node.prompt
        while prompt.parent is not None:
            if isinstance(prompt.segment, Answer):
                answers[prompt.segment.node].append(spans[node.id])
            readers.setdefault(prompt, []).append(spans[node.id])
            prompt = prompt.parent
    held = [0] * max((span.stop for span in spans.values()), default=0)
    for prompt, when in readers.items():
        if isinstance(prompt.segment, Text):
            _hold(held, when, sum(map(len, prompt.segment.parts)))
        elif isinstance(prompt.segment, Open):
            _hold(held, when, OPENING)
    for node in nodes:
        _hold(held, answers[node.id], node.sampling.max_tokens)
    return max(held, default=0), sum(held) / max(len(held), 1)


def _hold(held: list[int], when: list[range], tokens: int) -> None:
    for unit in range(min(span.start for span in when), max(span.stop for span in when)):
        held[unit] += tokens


@given(forks)
def test_what_is_held_at_a_time(steps: list[tuple[int, str, int]]) -> None:
    graph = _grown("a beginning", steps)
    peak, mean = _naive(graph)
    found = footprint(graph, len, UNITS)
    assert found.peak == peak and found.mean == pytest.approx(mean, abs=0.51)
    rounded = footprint(graph, len, UNITS, block=16)
    assert rounded.peak >= found.peak and rounded.mean >= found.mean
    assert footprint(graph, len, UNITS, model="another") == Footprint(0, 0)


def test_what_a_node_adds_begins_a_block_of_its_own() -> None:
    graph = Graph("p")
    prompt = Prompt().append(Text(("x" * 10,)))
    graph.add(Generate(id=graph.next_id(), prompt=prompt, sampling=Sampling(max_tokens=10)))
    assert footprint(graph, len, UNITS) == Footprint(20, 20)
    assert footprint(graph, len, UNITS, block=16) == Footprint(32, 32)
    assert footprint(graph, len, UNITS, block=20) == Footprint(20, 20)


def test_what_is_not_read_again_makes_room() -> None:
    """A panel: its opinions are text for the verdict, which goes on behind the essay."""
    graph = Graph("p")
    asked = Prompt().append(Text(("x" * 10,)))
    essay = Generate(id=graph.next_id(), prompt=asked, sampling=Sampling(max_tokens=10))
    graph.add(essay)
    written = asked.append(Answer(essay.id))
    opinions = []
    for judge in "abcd":
        prompt = written.append(Text((judge * 5,)))
        opinions.append(
            Generate(id=graph.next_id(), prompt=prompt, sampling=Sampling(max_tokens=5))
        )
        graph.add(opinions[-1])
    asked = written.append(*(Ref(one.id) for one in opinions))
    graph.add(Generate(id=graph.next_id(), prompt=asked, sampling=Sampling(max_tokens=10)))
    # 20 tokens are there for all 25 units; for 10, 5 and 10 of them 0, 40 and 30 more
    assert footprint(graph, len, UNITS) == Footprint(60, 20 + (5 * 40 + 10 * 30) // 25)


def test_rows_share_what_they_begin_with() -> None:
    graphs = [
        _grown(text, [(0, "", 1)]) for text in ("one document: a", "another", "one document: b")
    ]
    order = order_rows(graphs, Context())
    assert order == [0, 2, 1]
    first, same, other = shared_with_before([graphs[i] for i in order])
    assert first == 0 and same - other == len("one document: ")
    assert shared_with_before([]) == []
