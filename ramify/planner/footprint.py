"""How much of a prefix cache a row needs while it runs, and what it shares of that with another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ramify.ir import Answer, Graph, NodeId, Prompt, Prompted
from ramify.planner.cost import computes, output_tokens, scored_tokens, seconds
from ramify.planner.heads import END, Item, heads, shared
from ramify.planner.order import in_order
from ramify.planner.sizes import Sizes

if TYPE_CHECKING:
    from ramify.backend.contract import Profile

Span = tuple[float, float]  # seconds


@dataclass(frozen=True, slots=True)
class Footprint:
    """Tokens of a cache that a row holds: at most, and on the average of its run."""

    peak: int
    mean: int


def footprint(
    graph: Graph,
    count: Callable[[str], int],
    profile: Profile,
    *,
    block: int = 1,
    model: str = "",
) -> Footprint:
    """What the nodes traced so far hold in the cache of one model.

    Each node runs as soon as what it reads is there. A part of a prompt is held from the first
    node that reads it until the last one is done, and once for all of them; an answer, which counts
    as `max_tokens`, while it is written and read. `block` is the cache's grain in tokens: what a
    node adds begins a block of its own. `profile` tells how long nodes take, of whatever model.
    """
    sizes = Sizes(count)
    sizes.add(graph.nodes.values())
    own: dict[NodeId, int] = {}  # tokens that a prompt adds to those before it
    for node in graph.nodes.values():
        if computes(node):
            tokens, before = sizes.measure(node.prompt)
            own[node.id] = tokens - before
    spans = _spans(graph, own, profile, sizes)
    here = [node for node in graph.nodes.values() if computes(node) and node.model == model]
    steps = _held(here, spans)
    read = {step.segment.node for step in steps if type(step.segment) is Answer}
    parts = [
        (sizes.prompts[step] - sizes.prompts.get(step.parent or step, 0), span)
        for step, span in steps.items()
    ]
    for node in here:
        tokens = own[node.id] + scored_tokens(node, sizes)
        if node.id not in read:  # else its answer is a part of the prompt of who reads it
            tokens += output_tokens(node, sizes)
        parts.append((-(-tokens // block) * block - own[node.id], spans[node.id]))
    whole = max((end for _, end in spans.values()), default=0.0)
    peak = _peak(parts)
    area = sum(tokens * (end - start) for tokens, (start, end) in parts)
    return Footprint(peak, round(area / whole) if whole else peak)


def _spans(
    graph: Graph, own: Mapping[NodeId, int], profile: Profile, sizes: Sizes
) -> dict[NodeId, Span]:
    """From when to when each node runs, in seconds after the first."""
    spans: dict[NodeId, Span] = {}
    for node_id, sources in in_order(graph):
        start = max((spans[source][1] for source in sources if source in spans), default=0.0)
        took = seconds(graph.nodes[node_id], profile, own.get(node_id, 0), sizes)
        spans[node_id] = (start, start + took)
    return spans


def _held(nodes: Sequence[Prompted], spans: Mapping[NodeId, Span]) -> dict[Prompt, Span]:
    """From when to when each step of the nodes' prompts is needed."""
    held: dict[Prompt, Span] = {}
    for node in nodes:
        start, end = spans[node.id]
        step = node.prompt
        while step.parent is not None:
            if type(step.segment) is Answer:  # written by then
                start = min(start, spans.get(step.segment.node, (start, end))[0])
            known = held.get(step)
            if known is not None:
                if known[0] <= start and known[1] >= end:
                    break  # and so are all steps before it
                start, end = min(known[0], start), max(known[1], end)
            held[step] = (start, end)
            step = step.parent
    return held


def _peak(parts: Sequence[tuple[int, Span]]) -> int:
    """The most tokens that are held at once; what ends makes room for what begins."""
    changes = [(start, tokens) for tokens, (start, _) in parts]
    changes += [(end, -tokens) for tokens, (_, end) in parts]
    now = peak = 0
    for _, tokens in sorted(changes):
        now += tokens
        peak = max(peak, now)
    return peak


def shared_with_before(graphs: Sequence[Graph]) -> list[int]:
    """For each row the characters that its prompts begin with as those of the row before do."""
    keys = [_key(graph) for graph in graphs]
    return [0, *(shared(a, b) for a, b in pairwise(keys))][: len(keys)]


def _key(graph: Graph) -> list[Item]:
    return [item for head in heads(graph) for item in (*head, END)]
