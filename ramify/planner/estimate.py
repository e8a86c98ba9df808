"""What a plan will cost: tokens, cache hits, seconds and price, node by node and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ramify.ir import Alias, Each, Generate, Graph, Node, NodeId
from ramify.planner.context import Context
from ramify.planner.cost import computes, output_tokens, seconds
from ramify.planner.order import in_order
from ramify.planner.reuse import Reuse
from ramify.planner.sizes import Sizes

if TYPE_CHECKING:
    from ramify.backend.contract import Profile
    from ramify.planner.account import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one node is expected to cost. Prices are in the unit of the profile."""

    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens: computed by an earlier node
    output_tokens: int = 0
    seconds: float = 0.0
    start_s: float = 0.0
    price: float = 0.0

    @property
    def computed_tokens(self) -> int:
        return self.prompt_tokens - self.cached_tokens

    @property
    def end_s(self) -> float:
        return self.start_s + self.seconds


@dataclass(frozen=True)
class Estimates:
    """Estimates of the nodes of a plan, by node.

    `critical` is the chain of nodes that ends last. `bound_s` is what no schedule can beat: the
    longest chain with nothing beside it, or a backend busy at its best batch all the time.
    `work_s` is the same work one node after another.
    """

    nodes: Mapping[NodeId, Estimate]
    critical: tuple[NodeId, ...] = ()
    bound_s: float = 0.0
    work_s: float = 0.0

    @cached_property
    def total(self) -> Estimate:
        """All nodes together; its seconds are those from start to end."""
        nodes = self.nodes.values()
        return Estimate(
            prompt_tokens=sum(node.prompt_tokens for node in nodes),
            cached_tokens=sum(node.cached_tokens for node in nodes),
            output_tokens=sum(node.output_tokens for node in nodes),
            seconds=max(self.critical_s, self.bound_s),
            price=sum(node.price for node in nodes),
        )

    @property
    def critical_s(self) -> float:
        return max((node.end_s for node in self.nodes.values()), default=0.0)


def estimate(graph: Graph, context: Context) -> Estimates:
    """Estimate a graph under the assumption that no node waits for anything but its inputs.

    A decode step takes what the profile says for as many sequences as there are at that depth.
    """
    order = in_order(graph)
    sizes = Sizes(context.count)
    sizes.add(context.planned.values())
    sizes.add(graph.nodes[node_id] for node_id, _ in order)
    profiles = {model: context.profile(model) for model in map(_model, graph.nodes.values())}
    batches = _batches(graph, order, profiles)
    reuse = Reuse(graph, context, sizes)
    found: dict[NodeId, Estimate] = {}
    alone: dict[NodeId, float] = {}
    latest: dict[NodeId, NodeId] = {}  # the input that a node waits for longest
    busy = dict.fromkeys(profiles, 0.0)
    for node_id, sources in order:
        node = graph.nodes[node_id]
        profile = profiles[_model(node)]
        prompt, cached = 0, 0
        if computes(node):
            prompt, cached = reuse.read(node.prompt, node.model)
        elif isinstance(node, Each):
            prompt, cached = reuse.fan_out(node)
        output = output_tokens(node, sizes)
        known = [source for source in sources if source in found]
        if known:
            latest[node_id] = max(known, key=lambda source: (found[source].end_s, source))
        found[node_id] = Estimate(
            prompt_tokens=prompt,
            cached_tokens=cached,
            output_tokens=output,
            seconds=seconds(node, profile, prompt - cached, sizes, batches.get(node_id, 1)),
            start_s=found[latest[node_id]].end_s if known else 0.0,
        )
        found[node_id] = replace(found[node_id], price=price(profile, found[node_id]))
        alone[node_id] = seconds(node, profile, prompt - cached, sizes, _samples(node))
        busy[_model(node)] += _least(profile, prompt - cached, output)
    return Estimates(
        nodes={node_id: found[node_id] for node_id in graph.nodes},
        critical=_path(found, latest),
        bound_s=max([_longest(order, alone), *busy.values()]),
        work_s=sum(alone.values()),
    )


def _model(node: Node) -> str:
    model: str = getattr(node, "model", "")
    return model


def _samples(node: Node) -> int:
    return node.samples if type(node) is Generate else 1


def _batches(
    graph: Graph, order: list[tuple[NodeId, list[NodeId]]], profiles: Mapping[str, Profile]
) -> dict[NodeId, int]:
    """For each generation, how many sequences decode at its depth, at most a full batch."""
    depth: dict[NodeId, int] = {}
    width: Counter[tuple[str, int]] = Counter()
    for node_id, sources in order:
        node = graph.nodes[node_id]
        above = max((depth[source] for source in sources if source in depth), default=0)
        depth[node_id] = above + (type(node) is not Alias)
        if type(node) is Generate:
            width[node.model, depth[node_id]] += node.samples
    return {
        node_id: min(width[node.model, depth[node_id]], profiles[node.model].max_batch)
        for node_id, node in graph.nodes.items()
        if type(node) is Generate
    }


def price(profile: Profile, used: Estimate | Account) -> float:
    """What tokens cost at a backend, in the unit of its profile."""
    read = used.computed_tokens * profile.price_input + used.cached_tokens * profile.price_cached
    return (read + used.output_tokens * profile.price_output) / 1e6


def _least(profile: Profile, computed: int, output: int) -> float:
    """Seconds that a backend needs for these tokens at whatever batch is best for it."""
    batches = {1, profile.max_batch, *(batch for batch, _ in profile.decode_s)}
    step = min(profile.step_s(b) / b for b in batches if b <= profile.max_batch)
    return profile.prefill_s * computed + step * output


def _longest(order: list[tuple[NodeId, list[NodeId]]], own: Mapping[NodeId, float]) -> float:
    ends: dict[NodeId, float] = {}
    for node_id, sources in order:
        ends[node_id] = own[node_id] + max((ends.get(s, 0.0) for s in sources), default=0.0)
    return max(ends.values(), default=0.0)


def _path(
    found: Mapping[NodeId, Estimate], latest: Mapping[NodeId, NodeId]
) -> tuple[NodeId, ...]:
    if not found:
        return ()
    last = max(found, key=lambda node_id: (found[node_id].end_s, node_id))
    path = [last]
    while path[-1] in latest:
        path.append(latest[path[-1]])
    return tuple(reversed(path))
