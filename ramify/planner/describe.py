"""A node as bytes: what it is beside its prompt, with keys in place of references."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, get_args

from ramify.ir import (
    Answer,
    Block,
    Call,
    Close,
    Compress,
    Constraint,
    Forks,
    Generate,
    Node,
    NodeId,
    Open,
    Operand,
    Pack,
    Parallel,
    Prompt,
    Ref,
    Rerank,
    Retrieve,
    Role,
    Sampling,
    Score,
    Segment,
    Select,
    Template,
    Vectors,
    View,
)
from ramify.planner.canonical import encode, identity


class Work:
    """The key of a node's work: equal where the digest is.

    `shared` is whether the key means the same in other runs; where it does not, it names the node
    itself, or what depends on it. `held` keeps alive the objects that count by identity, so that
    no other object can take their place while the key lives.
    """

    __slots__ = ("digest", "held", "shared")

    def __init__(self, digest: bytes, shared: bool = True, held: tuple[Any, ...] = ()) -> None:
        self.digest = digest
        self.shared = shared
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Work) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Work({self.digest.hex()})"


# What is known of a prompt's content: the running hash of hashlib, which is copied before it is
# updated, and the same two as in `Work`.
Trail = tuple[Any, bool, tuple[Any, ...]]


def own_work(node: NodeId) -> Work:
    """A key that only this node has in this run."""
    return Work(b"@%d" % node, shared=False)


def encoded(text: str) -> bytes:
    """Any text as bytes; halves of surrogate pairs, too."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


class Description:
    """Bytes in `out`, each piece with a tag and, where it varies, its length.

    `shared` and `held` gather those of all that is referred to (see `Work`).
    """

    __slots__ = ("held", "out", "shared", "works")

    def __init__(
        self, works: Mapping[NodeId, Work], shared: bool = True, held: tuple[Any, ...] = ()
    ) -> None:
        self.works = works
        self.out: list[bytes] = []
        self.shared = shared
        self.held = held

    def trail(self, running: Any) -> Trail:
        """What was written since goes into the running hash; its present state is returned."""
        running.update(b"".join(self.out))
        self.out.clear()
        return running.copy(), self.shared, self.held

    def text(self, tag: bytes, text: str) -> None:
        data = encoded(text)
        self.out.append(b"%b%d:%b" % (tag, len(data), data))

    def refer(self, digest: bytes, shared: bool, held: tuple[Any, ...]) -> None:
        """Refer to work or to a prompt by its digest."""
        self.out.append(b"#%d:%b" % (len(digest), digest))
        if not shared:
            self.shared = False
        if held is not self.held and held:
            if self.held:
                self.hold(*held)
            else:
                self.held = held

    def node(self, node: NodeId) -> None:
        work = self.works.get(node) or own_work(node)
        self.refer(work.digest, work.shared, work.held)

    def hold(self, *objects: Any) -> None:
        for item in objects:
            if not any(item is other for other in self.held):
                self.held += (item,)

    def segment(self, segment: Segment, trails: Mapping[Prompt, Trail | None]) -> None:
        """A segment of a prompt, not text; `trails` has the ends of the blocks that it joins."""
        kind = type(segment)
        if kind is Open:
            self.out.append(_OPEN[segment.role])  # type: ignore[union-attr]
        elif kind is Close:
            self.out.append(_CLOSE[segment.role])  # type: ignore[union-attr]
        elif kind is Answer:
            self.out.append(b"a")
            self.node(segment.node)  # type: ignore[union-attr]
        elif kind is Ref:
            self.operand(segment)
        elif type(segment) is Vectors:
            self.out.append(b"V" + segment.digest)
        elif type(segment) is Parallel:
            self.text(b"j", f"{segment.mode}{segment.repair}")
            self.blocks(segment.blocks, trails)

    def blocks(
        self, blocks: tuple[Block, ...] | Ref, trails: Mapping[Prompt, Trail | None]
    ) -> None:
        if not isinstance(blocks, tuple):
            self.operand(blocks)
            return
        self.out.append(b"B%d(" % len(blocks))
        for block in blocks:
            for end in (block.start, block.stop):
                running, shared, held = trails.get(end) or _EMPTY
                self.refer(running.digest(), shared, held)

    def operand(self, operand: Operand) -> None:
        """References by key, constants by content; raises NoBytesError where that is hidden."""
        kind = type(operand)
        if kind is Ref:
            self.text(b"r", repr(operand.path) if operand.path else "")
            self.node(operand.node)
        elif kind is Template:
            self.out.append(b"T%d(" % len(operand.parts))
            for part in operand.parts:
                self.operand(part)
        elif kind is Pack:
            self.text(b"P%d(" % len(operand.items), repr(operand.keys))
            for item in operand.items:
                self.operand(item)
        else:
            held: list[Any] = []
            self.out.append(encode(operand, held))
            if held:
                self.hold(*held)

    def service(self, value: Any) -> bool:
        """A function or a service; returns whether it gives the same for the same."""
        held: list[Any] = []
        self.out.append(identity(value, held))
        self.hold(*held)
        return bool(getattr(value, "deterministic", True))


_EMPTY: Trail = (blake2b(digest_size=16), True, ())
_ROLES: tuple[Role, ...] = get_args(Role)
_OPEN = {role: b"o" + role.encode() for role in _ROLES}
_CLOSE = {role: b"c" + role.encode() for role in _ROLES}


def describe(node: Node, out: Description) -> bool:
    """Write what a node is beside its prompt; False where it is not the same every time.

    Raises NoBytesError for constants whose content is hidden.
    """
    write = _WRITE.get(type(node))
    return write is not None and write(node, out)


@lru_cache(maxsize=4096)
def _generation(
    sampling: Sampling,
    constraint: Constraint | None,
    samples: int,
    model: str,
    forks: Forks | None,
    lenient: bool,
) -> bytes:
    if sampling.temperature == 0:  # the options of chance are unused
        sampling = replace(sampling, top_p=1.0, top_k=0, min_p=0.0, seed=None)
    text = repr((sampling, constraint, samples, model, forks, lenient))
    data = text.encode("utf-8", "surrogatepass")
    return b"G%d:%b" % (len(data), data)


def _generate(node: Generate, out: Description) -> bool:
    if not node.sampling.deterministic:
        return False
    told = _generation(
        node.sampling, node.constraint, node.samples, node.model, node.forks, node.lenient
    )
    out.out.append(told)
    if node.tools:
        out.text(b"U", repr(node.tools))
    return node.parse is None or out.service(node.parse)


def _select(node: Select, out: Description) -> bool:
    out.text(b"L", repr((node.model, node.options, node.method)))
    return True


def _score(node: Score, out: Description) -> bool:
    out.text(b"O", repr((node.model, node.continuations)))
    return True


def _view(node: View, out: Description) -> bool:
    out.text(b"V", node.kind)
    return True


def _compress(node: Compress, out: Description) -> bool:
    out.text(b"C", repr((node.rate, node.tokens)))
    out.operand(node.source)
    out.operand(node.question)
    return out.service(node.compressor)


def _retrieve(node: Retrieve, out: Description) -> bool:
    out.text(b"R", repr(node.k))
    out.operand(node.query)
    out.operand(node.options)
    return out.service(node.index)


def _rerank(node: Rerank, out: Description) -> bool:
    out.text(b"K", repr(node.k))
    out.operand(node.passages)
    out.operand(node.query)
    return out.service(node.reranker)


def _call(node: Call, out: Description) -> bool:
    if not node.pure:
        return False
    out.out.append(b"F%d%d(" % (node.settled, len(node.args)))
    for operand in node.args:
        out.operand(operand)
    for name, operand in node.kwargs:
        out.text(b"k", name)
        out.operand(operand)
    return out.service(node.function)


_WRITE: dict[type[Node], Callable[[Any, Description], bool]] = {
    Call: _call,
    Compress: _compress,
    Generate: _generate,
    Rerank: _rerank,
    Retrieve: _retrieve,
    Score: _score,
    Select: _select,
    View: _view,
}
