"""Random programs as graphs, and their plain readings, for property tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ramify.ir import (
    Alias,
    Answer,
    Block,
    Branch,
    Call,
    Close,
    Compress,
    Each,
    First,
    Generate,
    Graph,
    Node,
    Open,
    Parallel,
    Prompt,
    Ref,
    Rerank,
    Retrieve,
    Sampling,
    Score,
    Select,
    Template,
    Text,
    View,
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = ("a", "b", "long text ", "")
SAMPLINGS = (
    Sampling(max_tokens=8),
    Sampling(max_tokens=8, seed=3),  # greedy: the seed changes nothing
    Sampling(max_tokens=8, temperature=1.0, seed=3),
    Sampling(max_tokens=8, temperature=1.0),
)
INDEX, OTHER_INDEX = object(), object()
SHORTENER = object()


def shout(*args: Any, **kwargs: Any) -> str:
    return f"{args}{kwargs}".upper()


@dataclass
class State:
    """What the language's state is to the planner: a prompt that grows."""

    prompt: Prompt
    start: Prompt
    scope: str
    forks: list[State] = field(default_factory=list)


class Builder:
    """Draws a program step by step."""

    def __init__(self, draw: Any, *, joins: bool = True) -> None:
        self.draw = draw
        self.graph = Graph("random")
        self.states = [State(Prompt(), Prompt(), "random")]
        self.states[0].start = self.states[0].prompt
        self.values: list[int] = []
        self.joins = joins

    def pick(self, items: Any) -> Any:
        return self.draw(st.sampled_from(items))

    def ref(self) -> Ref:
        return Ref(self.pick(self.values), self.pick([(), ("field",), (0,)]))

    def add(self, node: Node) -> int:
        self.graph.add(node)
        self.values.append(node.id)
        return node.id

    def step(self) -> None:
        kinds = ["text", "text", "role", "generate", "generate", "choose", "fork", "root"]
        if self.values:
            kinds += ["ref", "call", "find", "view"]
        if self.joins and any(state.forks for state in self.states):
            kinds += ["join", "first"]
        kind = self.pick(kinds)
        getattr(self, f"do_{kind}")(self.pick(self.states))

    def do_text(self, state: State) -> None:
        parts = tuple(self.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)))
        state.prompt = state.prompt.append(Text(parts))

    def do_role(self, state: State) -> None:
        role = self.pick(["user", "assistant"])
        state.prompt = state.prompt.append(self.pick([Open(role), Close(role)]))

    def do_ref(self, state: State) -> None:
        state.prompt = state.prompt.append(self.ref())

    def common(self, state: State) -> dict[str, Any]:
        return {"id": self.graph.next_id(), "scope": state.scope}

    def do_generate(self, state: State) -> None:
        node = Generate(
            **self.common(state),
            prompt=state.prompt,
            sampling=self.pick(SAMPLINGS),
            model=self.pick(["", "small"]),
            samples=self.pick([1, 1, 2]),
        )
        self.add(node)
        if node.samples == 1:
            state.prompt = state.prompt.append(Answer(node.id))

    def do_choose(self, state: State) -> None:
        if self.draw(st.booleans()):
            options = self.pick([("yes", "no"), ("no", "yes")])
            chosen = self.add(Select(**self.common(state), prompt=state.prompt, options=options))
            state.prompt = state.prompt.append(Answer(chosen))
        else:
            self.add(Score(**self.common(state), prompt=state.prompt, continuations=("x", "y")))

    def do_view(self, state: State) -> None:
        self.add(View(**self.common(state), prompt=state.prompt))

    def do_call(self, state: State) -> None:
        args = (self.pick([self.ref(), 1, True, 1.0, "1", [1], (1,), Template(("x", self.ref()))]),)
        pure = self.pick([True, True, False])
        self.add(Call(**self.common(state), function=shout, args=args, pure=pure))

    def do_find(self, state: State) -> None:
        common = self.common(state)
        node = self.pick(
            [
                Retrieve(**common, index=self.pick([INDEX, OTHER_INDEX]), query="q", k=2),
                Rerank(**common, passages=self.ref(), query="q", reranker=INDEX),
                Compress(**common, source=self.ref(), rate=0.5, compressor=SHORTENER),
                Each(**common, items=self.ref(), start=state.prompt, grow=lambda items: ()),
            ]
        )
        self.add(node)

    def do_fork(self, state: State) -> None:
        count = len(state.forks)
        fork = State(state.prompt, state.prompt, f"{state.scope}/fork[{count}]")
        state.forks.append(fork)
        self.states.append(fork)

    def do_root(self, state: State) -> None:
        root = Prompt()
        self.states.append(State(root, root, "random"))

    def blocks(self, state: State) -> tuple[Block, ...]:
        forks = [fork for fork in state.forks if state.prompt.starts_with(fork.start)]
        return tuple(Block(fork.start, fork.prompt) for fork in forks[:3])

    def do_join(self, state: State) -> None:
        blocks = self.blocks(state)
        if blocks:
            mode = self.pick(["text", "kv"])
            state.prompt = state.prompt.append(Parallel(blocks, mode))

    def do_first(self, state: State) -> None:
        branches = tuple(Branch(block) for block in self.blocks(state))
        if branches:
            first = self.add(First(**self.common(state), k=1, branches=branches))
            state.prompt = state.prompt.append(Parallel(Ref(first), "text"))


@st.composite
def programs(draw: Any, *, joins: bool = True, most: int = 20) -> Graph:
    """A graph of a few dozen steps whose outputs are some of its values."""
    builder = Builder(draw, joins=joins)
    for _ in range(draw(st.integers(1, most))):
        builder.step()
    builder.graph.check()
    if builder.values:
        count = draw(st.integers(1, min(4, len(builder.values))))
        builder.graph.outputs = tuple(builder.ref() for _ in range(count))
    return builder.graph


# Plain readings, without sharing and without memory: what tests compare.


def flat(prompt: Prompt, since: Prompt | None = None) -> list[Any]:
    """A prompt as a list of its parts."""
    found: list[Any] = []
    for segment in prompt.segments(since=since):
        if isinstance(segment, Text):
            found += segment.parts
        elif isinstance(segment, Parallel) and isinstance(segment.blocks, tuple):
            blocks = tuple(tuple(flat(b.stop, b.start)) for b in segment.blocks)
            found.append((segment.mode, blocks))
        else:
            found.append(segment)
    return found


def blocks_of(prompt: Prompt) -> list[Block]:
    """All blocks that a prompt joins, and the blocks in them."""
    found: list[Block] = []
    seen: set[int] = set()
    stack = [prompt]
    while stack:
        for above in stack.pop().ancestors():
            segment = above.segment
            if id(above) in seen:
                break
            seen.add(id(above))
            if isinstance(segment, Parallel) and isinstance(segment.blocks, tuple):
                found += segment.blocks
                stack += [end for block in segment.blocks for end in (block.start, block.stop)]
    return found


def reading(node: Node) -> Any:
    """Everything that a node says, with its prompt as parts."""
    if isinstance(node, Alias):
        return ("alias", node.id, node.of)
    fields = {name: getattr(node, name) for name in type(node).__dataclass_fields__}
    fields = {n: flat(v) if isinstance(v, Prompt) else v for n, v in fields.items()}
    if isinstance(node, First):
        fields["branches"] = [
            (flat(b.block.stop, b.block.start), b.names) for b in node.branches
        ]
    return type(node), fields
