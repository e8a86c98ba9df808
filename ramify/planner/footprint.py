"""How much of a prefix cache a row needs while it runs, and what it shares of that with another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ramify.ir import Answer, Graph, Prompted
from ramify.planner.cost import computes, output_tokens, scored_tokens
from ramify.planner.heads import END, Item, heads, shared
from ramify.planner.sizes import Sizes


def footprint(graph: Graph, count: Callable[[str], int], *, block: int = 1, model: str = "") -> int:
    """Tokens of everything that the nodes traced so far read and write on one model.

    A prefix of several prompts counts once; answers count as `max_tokens`. `block` is the cache's
    grain in tokens: what a node adds begins a block of its own.
    """
    sizes = Sizes(count)
    sizes.add(graph.nodes.values())
    added: list[tuple[Prompted, int]] = []
    for node in graph.nodes.values():
        if computes(node):
            tokens, before = sizes.measure(node.prompt)
            if node.model == model:
                added.append((node, tokens - before))
    read = {step.segment.node for step in sizes.prompts if type(step.segment) is Answer}
    total = 0
    for node, tokens in added:
        own = tokens + scored_tokens(node, sizes)
        if node.id not in read:  # else its answer is a part of the prompt of who reads it
            own += output_tokens(node, sizes)
        total += -(-own // block) * block
    return total


def shared_with_before(graphs: Sequence[Graph]) -> list[int]:
    """For each row the characters that its prompts begin with as those of the row before do."""
    keys = [_key(graph) for graph in graphs]
    return [0, *(shared(a, b) for a, b in pairwise(keys))][: len(keys)]


def _key(graph: Graph) -> list[Item]:
    return [item for head in heads(graph) for item in (*head, END)]
