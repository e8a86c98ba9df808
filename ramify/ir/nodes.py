"""Nodes: the work of a program. Frozen and slotted; edges are found from the fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ramify.ir.forks import Forks
from ramify.ir.prompt import Block, NodeId, Prompt, Ref
from ramify.ir.sampling import GREEDY, Constraint, Sampling
from ramify.ir.tools import Tool
from ramify.ir.ways import Ways

SelectMethod = Literal["normalized", "greedy", "likelihood"]


@dataclass(frozen=True, slots=True)
class Template:
    """Text with values in it: what an f-string with values becomes."""

    parts: tuple[str | Ref, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """A list (`keys` is None) or a dict of operands."""

    items: tuple[Operand, ...]
    keys: tuple[str, ...] | None = None


Operand = Any  # Ref, Template, Pack, or any other Python object: a constant


def refs_of(operand: Operand) -> Iterator[Ref]:
    """The values that an operand reads."""
    if type(operand) is Ref:
        yield operand
    elif type(operand) is Template:
        for part in operand.parts:
            if type(part) is Ref:
                yield part
    elif type(operand) is Pack:
        for item in operand.items:
            yield from refs_of(item)


@dataclass(frozen=True, slots=True)
class Branch:
    """A finished trace of one branch: what it appended, and its named values."""

    block: Block
    names: tuple[tuple[str, Ref], ...] = ()

    def sources(self) -> list[NodeId]:
        """The nodes that make the branch complete."""
        found = self.block.stop.sources(since=self.block.start)
        found.extend(ref.node for _, ref in self.names)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something to compute. `id` is unique in its graph; `name` is the variable, if it has one."""

    id: NodeId
    name: str = ""
    scope: str = ""  # "program", "program/branch[2]": who asked for it

    @property
    def label(self) -> str:
        """The name that people see: the variable, or the kind of work and its number."""
        return self.name or f"{type(self).__name__.lower()}#{self.id}"

    def operands(self) -> Iterator[Operand]:
        """The operands that are not prompts."""
        return iter(())

    def inputs(self) -> list[NodeId]:
        """The nodes whose results this node reads, without repeats, in a fixed order."""
        found = [ref.node for operand in self.operands() for ref in refs_of(operand)]
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompted(Node):
    """Work that reads a prompt on a backend; `model` names the backend ("" is the default)."""

    prompt: Prompt
    model: str = ""

    def inputs(self) -> list[NodeId]:
        found = self.prompt.sources()
        found.extend(ref.node for operand in self.operands() for ref in refs_of(operand))
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(Prompted):
    """Generate text. Its value is the text, parsed by `parse` where there is one.

    With `samples` over 1 the value is a list, sample i under seed + i. `lenient` says that `parse`
    copes with any text: a backend that cannot enforce the constraint goes without it. With
    `forks` the answer is a tree of branches, whose texts stand where they branched off.
    """

    sampling: Sampling = GREEDY
    constraint: Constraint | None = None
    parse: Callable[[str], Any] | None = None
    samples: int = 1
    lenient: bool = False
    forks: Forks | None = None
    tools: tuple[Tool, ...] = ()  # that the model may call; calls stand in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Select(Prompted):
    """Choose the option that the model finds most likely after the prompt."""

    options: tuple[str, ...]
    method: SelectMethod = "normalized"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Prompted):
    """Log-probabilities of continuations after the prompt: a list of sums, one per text."""

    continuations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Prompted):
    """The prompt itself as a value: its text, or its messages as role and content."""

    kind: Literal["text", "messages"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress(Node):
    """Shorten text or passages to `rate` (kept fraction of tokens) or to `tokens`."""

    source: Operand
    question: Operand = None
    rate: float | Literal["auto"] | None = None
    tokens: int | None = None
    compressor: Any  # a compressors.contract.Compressor

    def operands(self) -> Iterator[Operand]:
        yield self.source
        yield self.question


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve(Node):
    """Find the `k` passages of an index nearest to a query."""

    index: Any  # a retrieval.contract.Retriever
    query: Operand
    k: int = 5
    options: tuple[tuple[str, Any], ...] = ()

    def operands(self) -> Iterator[Operand]:
        yield self.query


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank(Node):
    """Order passages anew by relevance to a query and keep the first `k`."""

    passages: Operand
    query: Operand
    k: int | None = None
    reranker: Any  # a retrieval.contract.Reranker

    def operands(self) -> Iterator[Operand]:
        yield self.passages
        yield self.query


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """A Python function or tool. Dropped or merged only where it is declared `pure`.

    A `settled` one is called also where something that it reads has failed: a failed value is then
    its error, a RamifyError.
    """

    function: Callable[..., Any]
    args: tuple[Operand, ...] = ()
    kwargs: tuple[tuple[str, Operand], ...] = ()
    pure: bool = False
    settled: bool = False

    def operands(self) -> Iterator[Operand]:
        yield from self.args
        for _, operand in self.kwargs:
            yield operand


# Traces a branch per item; may be a coroutine function.
Grow = Callable[[Sequence[Any]], tuple[Branch, ...] | Awaitable[tuple[Branch, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Each(Node):
    """Dynamic fan-out: when `items` are known, `grow` traces one branch per item.

    Its value is the branches; a Ref path's first element names a variable of theirs and gives the
    list of its values. With `ways`, the items are one Way, in which its one branch is written.
    """

    items: Operand
    start: Prompt  # what every branch begins with
    grow: Grow = field(repr=False)
    limit: int | None = None
    ways: Ways | None = None

    def operands(self) -> Iterator[Operand]:
        yield self.items

    def inputs(self) -> list[NodeId]:
        found = [ref.node for ref in refs_of(self.items)]
        return list(dict.fromkeys(found + self.start.sources()))


@dataclass(frozen=True, slots=True, kw_only=True)
class First(Node):
    """The first `k` branches to finish; what only the others need is cancelled.

    `until` may end it before: it is asked with the named values of the branches so far (one dict
    each, in the order in which they finished) whenever one has finished.
    """

    k: int
    branches: tuple[Branch, ...]
    until: Callable[[list[dict[str, Any]]], bool] | None = field(default=None, repr=False)

    def inputs(self) -> list[NodeId]:
        return list(dict.fromkeys(n for branch in self.branches for n in branch.sources()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias(Node):
    """Equal work that is done once: the value of node `of`. Made by merge_common only."""

    of: NodeId

    def inputs(self) -> list[NodeId]:
        return [self.of]
