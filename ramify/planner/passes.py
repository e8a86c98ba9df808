"""What a pass is: a pure step from graph to graph that says what it did and what it may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ramify.ir import Graph, NodeId
from ramify.planner.context import Context

Legality = Literal["exact", "reorder", "lossy"]
# exact: the same tokens under greedy decoding; reorder: the same pieces in another order, only
# where the program says that order is free; lossy: needs the program's permission.


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What a pass made of a graph: `changed` counts what it touched, `note` says it in words."""

    graph: Graph
    changed: int = 0
    note: str = ""
    priorities: Mapping[NodeId, float] | None = None  # prioritize alone fills it


@dataclass(frozen=True, slots=True)
class PassNote:
    """One line of a plan: which pass did what."""

    name: str
    legality: Legality
    changed: int
    text: str


class Pass(Protocol):
    """A pass never changes the graph that it is given; what it remembers is in the context."""

    @property
    def name(self) -> str: ...

    @property
    def legality(self) -> Legality: ...

    def __call__(self, graph: Graph, context: Context) -> Rewrite: ...


@dataclass(frozen=True, slots=True)
class FunctionPass:
    """A pass whose body is a plain function, made by `legal`."""

    name: str
    legality: Legality
    body: Callable[[Graph, Context], Rewrite]

    def __call__(self, graph: Graph, context: Context) -> Rewrite:
        return self.body(graph, context)


def legal(legality: Legality) -> Callable[[Callable[[Graph, Context], Rewrite]], FunctionPass]:
    """Turn a function into a pass of its own name: `@legal("exact")`."""

    def wrap(body: Callable[[Graph, Context], Rewrite]) -> FunctionPass:
        return FunctionPass(body.__name__, legality, body)

    return wrap
