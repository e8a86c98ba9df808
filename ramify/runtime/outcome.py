"""What nodes gave, and how prompts and programs read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ramify.backend.contract import Usage
from ramify.backend.render import Answered
from ramify.errors import ProgramError, RamifyError
from ramify.ir import (
    Block,
    Branch,
    Mixed,
    NodeId,
    Operand,
    Pack,
    Ref,
    Template,
    Vectors,
    piece_of,
)
from ramify.planner.account import Status


@dataclass(slots=True)
class Outcome:
    """The result of one node. `ids` are set where the node generated tokens."""

    value: Any = None
    text: str | None = None  # None: made from the value when asked for
    ids: tuple[int, ...] = ()
    tokenizer: str = ""
    error: RamifyError | None = None
    usage: Usage = field(default_factory=Usage)
    started: float = 0.0
    finished: float = 0.0
    status: Status = "done"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Branches:
    """The value of an Each or First: its branches, with positions in the original order."""

    branches: tuple[Branch, ...]
    indices: tuple[int, ...]


def text_of(value: Any) -> str:
    """How a value reads inside a prompt."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return str(value)


class Outcomes:
    """The outcomes of one run; the renderer reads prompts' values through it."""

    __slots__ = ("best_effort", "by_id")

    def __init__(self, *, best_effort: bool = False) -> None:
        self.by_id: dict[NodeId, Outcome] = {}
        self.best_effort = best_effort

    def __contains__(self, node: object) -> bool:
        return node in self.by_id

    def _of(self, node: NodeId) -> Outcome:
        outcome = self.by_id[node]
        if outcome.error is not None and not self.best_effort:
            raise outcome.error
        return outcome

    def answer(self, node: NodeId) -> Answered:
        """The generated tokens of a node, for the place where they were generated."""
        outcome = self._of(node)
        text = outcome.text if outcome.text is not None else text_of(outcome.value)
        return Answered(outcome.ids, text, outcome.tokenizer)

    def text(self, ref: Ref) -> str:
        """A value as it reads inside a prompt."""
        outcome = self._of(ref.node)
        if not ref.path and outcome.text is not None:
            return outcome.text
        return text_of(self.value(ref))

    def piece(self, ref: Ref) -> str | Vectors | Mixed:
        """A value as a model reads it."""
        if type(self._of(ref.node).value) is str:  # by far the most
            return self.text(ref)
        found = piece_of(self.value(ref))
        return self.text(ref) if found is None else found

    def value(self, ref: Ref) -> Any:
        """A value as Python sees it."""
        outcome = self._of(ref.node)
        value = outcome.value
        if outcome.error is not None:
            return None
        for step in ref.path:
            value = self._step(value, step, ref)
        if isinstance(value, Branches):
            return [self._branch(branch) for branch in value.branches if self._kept(branch)]
        return self._branch(value) if isinstance(value, Branch) else value

    def _step(self, value: Any, step: str | int, ref: Ref) -> Any:
        if isinstance(value, Branches):
            if isinstance(step, int):
                return value.branches[step]
            kept = [branch for branch in value.branches if self._kept(branch)]
            return [self._named(branch, step) for branch in kept]
        if isinstance(value, Branch):
            return self._named(value, str(step))
        if isinstance(step, str) and not isinstance(value, dict):
            return getattr(value, step)
        try:
            return value[step]
        except (KeyError, IndexError, TypeError) as error:
            raise ProgramError(
                f"the value has no {step!r}: {error}.", hint=f"It is {str(value)[:80]!r}."
            ) from error

    def _branch(self, branch: Branch) -> dict[str, Any]:
        return {name: self.value(ref) for name, ref in branch.names}

    def _named(self, branch: Branch, name: str) -> Any:
        for own, ref in branch.names:
            if own == name:
                return self.value(ref)
        known = ", ".join(own for own, _ in branch.names) or "none"
        raise ProgramError(f"a branch has no variable {name!r}.", hint=f"It has: {known}.")

    def _kept(self, branch: Branch) -> bool:
        """Whether a branch is whole, or failures are not tolerated anyway."""
        return not self.best_effort or not self.failed(branch.sources())

    def failed(self, nodes: Sequence[NodeId]) -> bool:
        """Whether one of the nodes failed."""
        return any(n in self.by_id and self.by_id[n].error is not None for n in nodes)

    def blocks(self, blocks: tuple[Block, ...] | Ref) -> tuple[Block, ...]:
        """The blocks of a join; under best effort, without those that failed."""
        if isinstance(blocks, Ref):
            value = self._of(blocks.node).value
            branches = value.branches if isinstance(value, Branches) else ()
            blocks = tuple(branch.block for branch in branches)
        if not self.best_effort:
            return blocks
        return tuple(b for b in blocks if not self.failed(b.stop.sources(since=b.start)))

    def settled(self, operand: Operand) -> Any:
        """The same as `operand`, but with its error in the place of a value that failed."""
        kind = type(operand)
        if kind is Ref:
            error = self.by_id[operand.node].error
            return self.value(operand) if error is None else error
        if kind is Pack:
            items = [self.settled(item) for item in operand.items]
            return items if operand.keys is None else dict(zip(operand.keys, items, strict=True))
        return self.operand(operand)

    def operand(self, operand: Operand) -> Any:
        """What an operand stands for, now that everything that it reads is known."""
        kind = type(operand)
        if kind is Ref:
            return self.value(operand)
        if kind is Template:
            return "".join(p if isinstance(p, str) else self.text(p) for p in operand.parts)
        if kind is Pack:
            items = [self.operand(item) for item in operand.items]
            return items if operand.keys is None else dict(zip(operand.keys, items, strict=True))
        return operand
