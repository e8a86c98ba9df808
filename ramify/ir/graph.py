"""The graph of one program run: nodes by id, and what the program gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from ramify.errors import GraphError, Where
from ramify.ir.nodes import Alias, First, Node, Operand, Prompted, refs_of
from ramify.ir.prompt import Answer, NodeId, Prompt

if TYPE_CHECKING:
    import networkx


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they were traced; a node reads only nodes before it.

    Passes never change a graph: they make a new one (`with_nodes`). Only tracing adds nodes.
    """

    program: str = ""
    nodes: dict[NodeId, Node] = field(default_factory=dict)
    outputs: tuple[Operand, ...] = ()  # what the program returned, or wants to look at
    _ids: Iterator[int] = field(default_factory=count, repr=False)

    # How a graph shows itself in notebooks (mime type to text); the planner fills it.
    drawer: ClassVar[Callable[[Graph], dict[str, str]] | None] = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        drawer = type(self).drawer
        return {"text/plain": repr(self)} if drawer is None else drawer(self)

    def next_id(self) -> NodeId:
        return next(self._ids)

    def add(self, node: Node) -> Node:
        self.nodes[node.id] = node
        return node

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """The same program with other nodes."""
        return Graph(self.program, {node.id: node for node in nodes}, self.outputs, self._ids)

    def output_ids(self) -> list[NodeId]:
        return list(dict.fromkeys(r.node for output in self.outputs for r in refs_of(output)))

    def needed(self, roots: Iterable[NodeId], done: Iterable[NodeId] = ()) -> set[NodeId]:
        """All nodes that the roots read, directly or not, without those already done."""
        finished = done if isinstance(done, Set | Mapping) else set(done)
        found: set[NodeId] = set()
        stack = [root for root in roots if root not in finished]
        while stack:
            node_id = stack.pop()
            if node_id in found:
                continue
            found.add(node_id)
            node = self.nodes.get(node_id)
            if node is not None:
                stack += [i for i in node.inputs() if i not in found and i not in finished]
        return found

    def prompts(self) -> Iterator[Prompt]:
        """The prompts of all nodes that have one."""
        return (node.prompt for node in self.nodes.values() if isinstance(node, Prompted))

    def check(self, done: Iterable[NodeId] = ()) -> None:
        """Raise GraphError where an invariant does not hold. `done` nodes may be missing."""
        finished = set(done)
        checked: set[Prompt] = set()
        for node_id, node in self.nodes.items():
            where = Where(self.program, node.label)
            if node_id != node.id:
                raise GraphError(f"node {node.id} is stored under {node_id}.", where=where)
            for source in node.inputs():
                if source in finished:
                    continue
                if source not in self.nodes:
                    raise GraphError(f"reads node {source}, which is not there.", where=where)
                if source >= node_id and not isinstance(node, (Alias, First)):
                    raise GraphError(f"reads node {source}, which comes later.", where=where)
            if isinstance(node, Prompted):
                self._check_answers(node, checked)
        for node_id in self.output_ids():
            if node_id not in self.nodes and node_id not in finished:
                raise GraphError(f"output {node_id} is not a node.", where=Where(self.program))

    def _check_answers(self, node: Prompted, checked: set[Prompt]) -> None:
        """An answer stands right after the prompt that its node read."""
        for prompt in node.prompt.ancestors():
            if prompt in checked:
                return
            checked.add(prompt)
            segment = prompt.segment
            if type(segment) is not Answer:
                continue
            source = self.nodes.get(segment.node)
            if isinstance(source, Prompted) and source.prompt is not prompt.parent:
                raise GraphError(
                    f"the answer of {source.label!r} does not follow its own prompt.",
                    where=Where(self.program, node.label),
                )

    def to_networkx(self) -> networkx.DiGraph:
        """The graph for drawing, export and graph algorithms; nodes carry `node=`."""
        import networkx

        graph = networkx.DiGraph(program=self.program)
        for node in self.nodes.values():
            graph.add_node(node.id, node=node)
        for node in self.nodes.values():
            graph.add_edges_from((source, node.id) for source in node.inputs())
        return graph
