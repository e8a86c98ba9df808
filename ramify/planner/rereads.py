"""Which part of a node's prompt a later step of the plan reads again, and how soon."""

from __future__ import annotations

from dataclasses import dataclass

from ramify.ir import Answer, Each, Graph, Node, NodeId, Parallel, Prompt, Prompted
from ramify.planner.order import in_order

_FAR = 1000  # prompts above the one that is read; so that long conversations are not quadratic


@dataclass(frozen=True, slots=True)
class Reread:
    """The longest beginning of a prompt that is read again, whether the node's answer is read
    behind it, and the steps until then."""

    prompt: Prompt
    steps: int
    answer: bool = False


def rereads(graph: Graph) -> dict[NodeId, Reread]:
    """What is read again of each node's prompt, for the nodes of which something is.

    A node's step is the number of nodes with prompts on the longest path to it; what stands on the
    same step runs beside it. Prompts are compared as objects, each model has a cache of its own,
    and branches of an `each` come one step behind it. Of what stands more than 1,000 segments above
    what is read, a later step may be told than the next one. Time: each prompt of the trie once per
    step, as far as that.

    Before: a reads p, b and c read p+a, d reads p. After: a: p, 1 step; b and c: p, 1 step.
    """
    by_step: dict[int, list[Node]] = {}
    steps: dict[NodeId, int] = {}
    for node_id, sources in in_order(graph):
        node = graph.nodes[node_id]
        step = max((steps.get(source, 0) for source in sources), default=0)
        steps[node_id] = step + isinstance(node, Prompted)
        by_step.setdefault(steps[node_id] + isinstance(node, Each), []).append(node)
    found: dict[NodeId, Reread] = {}
    following: dict[str, dict[Prompt, int]] = {}  # model -> prompt -> the next step that reads it
    answers: set[NodeId] = set()  # that a later step reads where they stand
    for step in sorted(by_step, reverse=True):
        for node in by_step[step]:
            if isinstance(node, Prompted):
                again = _again(node, following.get(node.model, {}), step, answers)
                if again is not None:
                    found[node.id] = again
        for node in by_step[step]:
            if isinstance(node, Prompted):
                _note(node.prompt, following.setdefault(node.model, {}), step, answers)
            elif isinstance(node, Each):
                _note(node.start, following.setdefault("", {}), step, answers)
    return found


def _again(
    node: Prompted, following: dict[Prompt, int], step: int, answers: set[NodeId]
) -> Reread | None:
    for above in node.prompt.ancestors():
        if above.parent is not None and above in following:
            whole = above is node.prompt and node.id in answers
            return Reread(above, following[above] - step, whole)
    return None


def _note(prompt: Prompt, following: dict[Prompt, int], step: int, answers: set[NodeId]) -> None:
    """Whoever reads a prompt reads what is above it, and the branches that it joins: in a row,
    only the first of them continues what stands before."""
    todo = [prompt]
    while todo:
        for distance, above in enumerate(todo.pop().ancestors()):
            known = following.get(above)
            if known == step or (known is not None and distance > _FAR):
                break
            following[above] = step
            segment = above.segment
            if type(segment) is Answer:
                answers.add(segment.node)
            elif type(segment) is Parallel and isinstance(segment.blocks, tuple):
                kept = segment.blocks if segment.mode == "kv" else segment.blocks[:1]
                todo += [block.stop for block in kept]
