"""Words for nodes: what a node does, and names that tell nodes of different branches apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ramify.ir import (
    Alias,
    Call,
    Compress,
    Each,
    First,
    Generate,
    Graph,
    Node,
    NodeId,
    Rerank,
    Retrieve,
    Score,
    Select,
    View,
)

_PART = re.compile(r"[^/\[]+(?:\[\d+\])?|\[\d+\]")
_INDEX = re.compile(r"(?<=\[)\d+(?=\])|(?<=#)\d+")


def scope_path(node: Node, program: str) -> tuple[str, ...]:
    """The branches that a node is in, from the outside in: "report/expand[2]" -> ("expand[2]",)."""
    scope = node.scope
    if program and scope.startswith(program):
        scope = scope[len(program) :]
    return tuple(_PART.findall(scope))


def names(graph: Graph) -> dict[NodeId, str]:
    """A name for each node with its branch before it: "expand[2].text"."""
    return {
        node.id: ".".join([*scope_path(node, graph.program), node.label])
        for node in graph.nodes.values()
    }


def starred(name: str) -> str:
    """A name with its numbers left open: "expand[2]" -> "expand[*]", "call#7" -> "call#*"."""
    return _INDEX.sub("*", name)


def listed(found: Iterable[str], width: int) -> str:
    """Names in at most `width` characters; those that differ in indices only are one: `b[*]`."""
    unique = list(dict.fromkeys(found))
    if len(unique) > 1:
        alike: dict[str, list[str]] = {}
        for name in unique:
            alike.setdefault(starred(name), []).append(name)
        unique = [key if len(same) > 1 else same[0] for key, same in alike.items()]
    for shown in range(min(len(unique), width // 3 + 1), 0, -1):  # a name and a comma: 3 at least
        more = f" +{len(unique) - shown}" if shown < len(unique) else ""
        text = ", ".join(unique[:shown]) + more
        if len(text) <= width:
            return text
    return short(unique[0], width - len(more)) + more if unique else ""


def short(text: str, width: int) -> str:
    """A text in at most `width` characters, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def what(node: Node, known: Mapping[NodeId, str]) -> str:
    """What a node does, in two or three words; `known` has the names of all nodes."""
    if type(node) is Alias:
        return f"= {known.get(node.of, f'#{node.of}')}"
    say = _SAY.get(type(node))
    text = say(node) if say is not None else type(node).__name__.lower()
    model = getattr(node, "model", "")
    return f"{text} @{model}" if model else text


def _generate(node: Generate) -> str:
    times = f"{node.samples}x" if node.samples > 1 else ""
    kind = f" {node.constraint.kind}" if node.constraint is not None else ""
    return f"generate {times}{node.sampling.max_tokens}{kind}"


def _compress(node: Compress) -> str:
    return f"compress to {node.tokens}" if node.tokens else f"compress {node.rate or 'auto'}"


def _call(node: Call) -> str:
    function = getattr(node.function, "func", node.function)  # of a partial
    return f"call {getattr(function, '__name__', type(function).__name__)}"


_SAY: dict[type[Node], Callable[[Any], str]] = {
    Generate: _generate,
    Select: lambda node: f"select of {len(node.options)}",
    Score: lambda node: f"score {len(node.continuations)}",
    View: lambda node: f"read {node.kind}",
    Compress: _compress,
    Retrieve: lambda node: f"retrieve {node.k}",
    Rerank: lambda node: f"rerank {node.k or 'all'}",
    Call: _call,
    Each: lambda node: f"each, up to {node.limit}" if node.limit else "each",
    First: lambda node: f"first {node.k} of {len(node.branches)}",
}
