"""Groups of branches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ramify.dsl.state import State
from ramify.dsl.trace import Trace
from ramify.dsl.value import Value
from ramify.errors import ProgramError
from ramify.ir import Block, First, JoinMode, Parallel, Ref


class Branches(Sequence[State]):
    """Branches of one state that are known now.

    `branches += piece` extends all of them, with a list one piece each, with a function
    `piece(i)` each. `branches[name]` is the list of their values of that name.
    """

    def __init__(self, parent: State, states: list[State]) -> None:
        self.parent = parent
        self.states = states

    def __iadd__(self, piece: Any) -> Branches:
        if isinstance(piece, list):
            if len(piece) != len(self.states):
                raise ProgramError(
                    f"{len(piece)} pieces for {len(self.states)} branches.",
                    hint="Give one piece each, one for all, or a function of the index.",
                    where=self.parent._trace.where(),
                )
            for state, own in zip(self.states, piece, strict=True):
                state += own
        elif callable(piece) and not isinstance(piece, Value):
            for index, state in enumerate(self.states):
                state += piece(index)
        else:
            for state in self.states:
                state += piece
        return self

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return [state[key] for state in self.states]
        found = self.states[key]
        return Branches(self.parent, found) if isinstance(key, slice) else found

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[State]:
        return iter(self.states)

    def __ramify_operand__(self) -> list[Value]:
        return [state.text() for state in self.states]

    def __format__(self, spec: str) -> str:
        raise ProgramError(
            "branches have no text of their own.",
            hint='Write rf.lines(branches["name"]), or s.join(branches).',
            where=self.parent._trace.where(),
        )

    def __enter__(self) -> Branches:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class EachBranches:
    """Branches that a node will know: those of an `each` over a value, or of `rf.first`.

    `branches[name]` is the list of their values as one value. Looking at it (a loop, `len`)
    resolves it; each item is then a mapping of names to what the branch generated.
    """

    def __init__(self, trace: Trace, parent: State, node: int, name: str) -> None:
        self.trace = trace
        self.parent = parent
        self.node = node
        self.name = name

    def _value(self, *path: str | int, annotation: Any = Any) -> Value:
        suffix = "".join(f"[{step!r}]" for step in path)
        return Value(self.trace, Ref(self.node, path), f"{self.name}{suffix}", annotation)

    def __getitem__(self, key: str | int) -> Value:
        if isinstance(key, int):
            return self._value(key)
        return self._value(key, annotation=list[Any])

    def __len__(self) -> int:
        return len(self._value())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value())

    def __await__(self) -> Any:
        return self._value().__await__()

    def __ramify_operand__(self) -> Value:
        return self._value()


Joinable = Branches | EachBranches | State


def joined(
    state: State, branches: Joinable | Sequence[State], mode: JoinMode, repair: int
) -> Parallel:
    """What a join appends to a state. Raises ProgramError for what cannot be joined, or not so."""
    if mode not in ("text", "kv"):
        raise ProgramError(
            f"mode={mode!r} is unknown.",
            hint="Choose 'text' or 'kv'.",
            where=state._trace.where(),
        )
    if repair < 0 or (repair and mode == "text"):
        raise ProgramError(
            f'repair={repair} is not allowed with mode="{mode}".',
            hint='It is the number of tokens of each block to compute again, with mode="kv".',
            where=state._trace.where(),
        )
    return Parallel(blocks_of(state, branches), mode, repair)


def blocks_of(state: State, branches: Joinable | Sequence[State]) -> tuple[Block, ...] | Ref:
    """The blocks of branches that are joined into `state`, which they must have forked from."""
    if isinstance(branches, EachBranches):
        return Ref(branches.node)
    if isinstance(branches, State):
        branches = [branches]
    states = list(branches) if isinstance(branches, Iterable) else [branches]
    blocks = []
    for branch in states:
        if not isinstance(branch, State):
            raise ProgramError(
                f"{branch!r} cannot be joined.",
                hint="Join branches of s.fork or s.each.",
                where=state._trace.where(),
            )
        if not state._prompt.starts_with(branch._start):
            raise ProgramError(
                f"the branch {branch._scope!r} is not a fork of this state.",
                hint="Join branches into the state that they were forked from.",
                where=state._trace.where(),
            )
        blocks.append(Block(branch._start, branch._prompt))
    return tuple(blocks)


def first(
    k: int,
    branches: Branches | EachBranches | Sequence[State],
    *,
    until: Callable[[list[dict[str, Any]]], bool] | None = None,
) -> EachBranches:
    """The first `k` branches to finish; the others are cancelled as soon as these are there.

    `until` may end it earlier: whenever a branch has finished it is asked with the named values of
    those so far, one dict each; a cheap function, called on the event loop.

    Which ones they are depends on time, so programs with `first` are not deterministic.
    """
    if isinstance(branches, EachBranches):
        raise ProgramError(
            "first needs branches that are known now.",
            hint="Loop over the resolved list with s.fork(len(items)), or s.each over a list.",
            where=branches.trace.where(),
        )
    states = list(branches)
    if not states:
        raise ProgramError("first of no branches.", hint="Give it branches of s.fork(n).")
    trace = states[0]._trace
    if type(k) is not int or not 1 <= k <= len(states):
        raise ProgramError(
            f"first {k!r} of {len(states)} branches.",
            hint=f"k must be 1 to {len(states)}.",
            where=trace.where(),
        )
    node_id = trace.graph.next_id()
    parent = states[0]._outer or states[0]
    trace.graph.add(
        First(
            id=node_id,
            name=f"first {k}",
            scope=parent._scope,
            k=k,
            branches=tuple(state.as_branch() for state in states),
            until=until,
        )
    )
    return EachBranches(trace, parent, node_id, f"first {k}")
