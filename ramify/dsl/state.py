"""The state `s` of a program: a prompt that grows, and the values generated in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ramify.dsl.names import Names
from ramify.dsl.operations import Gen, Message, Operation, annotation_of, node_of
from ramify.dsl.pieces import Blocks, plain_segment
from ramify.dsl.trace import Trace
from ramify.dsl.value import Value
from ramify.errors import ProgramError, UnknownVariableError
from ramify.ir import (
    Answer,
    Block,
    Branch,
    Close,
    Generate,
    JoinMode,
    Mixed,
    Open,
    Prompt,
    Ref,
    Role,
    Score,
    Segment,
    Text,
    View,
    piece_of,
)

if TYPE_CHECKING:
    from ramify.dsl.branches import Branches, EachBranches, Joinable


class State:
    """A prompt under construction.

    `s += ...` extends the prompt with strings, f-strings, values, operations and messages (several
    at once as a list). `s[name]` is the value of that name. A forked state shares everything that
    came before the fork.
    """

    def __init__(
        self, trace: Trace, prompt: Prompt, scope: str, outer: State | None = None
    ) -> None:
        self._trace = trace
        self._prompt = prompt
        self._start = prompt  # where this state was forked
        self._scope = scope
        self._outer = outer
        self._names: Names = Names(trace, outer._names if outer is not None else None)
        self._role: Role | None = None
        self._last: Value | None = None

    # extending the prompt

    def __iadd__(self, piece: Any) -> State:
        segments: list[Segment] = []
        self._collect(piece, segments)
        self._extend(segments)
        return self

    def append(self, *pieces: Any) -> State:
        """The same as `s += [*pieces]`; returns the state."""
        self += list(pieces)
        return self

    def _collect(self, piece: Any, segments: list[Segment]) -> None:
        """Turn a piece into segments; operations flush first, as they read the prompt."""
        if isinstance(piece, str):
            for part in self._trace.split(piece):
                if isinstance(part, str):
                    segments.append(Text((part,)))
                else:
                    self._collect(part, segments)
        elif isinstance(piece, Value):
            segments.append(self._trace.own(piece))
        elif isinstance(piece, Message):
            self._message(piece, segments)
        elif isinstance(piece, Operation):
            self._extend(segments)
            segments.clear()
            self._operate(piece)
        elif isinstance(piece, Blocks):
            self._extend(segments)
            segments.clear()
            piece.append_to(self)
        elif isinstance(piece, (list, tuple)):
            for part in piece:
                self._collect(part, segments)
        elif isinstance(mixed := piece_of(piece), Mixed):
            for part in mixed.parts:
                self._collect(part, segments)
        else:
            segments.append(plain_segment(self._trace, piece))

    def _message(self, message: Message, segments: list[Segment]) -> None:
        if self._role is not None:
            raise ProgramError(
                f"a {message.role} message inside a {self._role} message.",
                hint="Append them one after the other.",
                where=self._trace.where(),
            )
        self._role = message.role
        segments.append(Open(message.role))
        try:
            for piece in message.pieces:
                self._collect(piece, segments)
        finally:
            self._role = None
        segments.append(Close(message.role))

    def _extend(self, segments: list[Segment]) -> None:
        """Append segments; neighbouring texts of one append are one text."""
        texts: list[str] = []
        for segment in segments:
            if type(segment) is Text:
                texts.extend(segment.parts)
                continue
            if texts:
                self._prompt = Prompt(self._prompt, Text(("".join(texts),)))
                texts = []
            self._prompt = Prompt(self._prompt, segment)
        if texts:
            self._prompt = Prompt(self._prompt, Text(("".join(texts),)))

    def _operate(self, piece: Operation) -> None:
        if piece.name:
            self._names.need_new(piece.name)
        if isinstance(piece, Gen) and piece.organize:
            from ramify.dsl.patterns.organize import organized

            value = organized(self, piece)
        else:
            value = self._node(piece)
        self._last = value
        if piece.name:
            self._names.add(piece.name, value)

    def _node(self, piece: Operation) -> Value:
        graph = self._trace.graph
        node = graph.add(node_of(piece, graph.next_id(), self._scope, self._prompt))
        name = piece.name or f"value#{node.id}"
        value = Value(self._trace, Ref(node.id), name, annotation_of(piece))
        if not isinstance(node, Score) and not (isinstance(node, Generate) and node.samples > 1):
            # of several samples, none is the one that the prompt goes on with
            self._prompt = Prompt(self._prompt, Answer(node.id))
        return value

    # reading

    def __getitem__(self, name: str) -> Value:
        return self._names[name]

    def __setitem__(self, name: str, item: Any) -> None:
        """Give a value, or something already known, a name."""
        from ramify.dsl.functions import as_value

        self._names.need_new(name)
        self._names.add(name, as_value(self._trace, item, name))
        self._names.kept.append(self._names[name])

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def names(self) -> list[str]:
        """The names that `s[name]` knows, nearest first."""
        return self._names.known()

    def text(self) -> Value:
        """The whole prompt so far as text, without control tokens; a value."""
        return self._view("text", str)

    def messages(self) -> Value:
        """The prompt so far as a list of {"role", "content"}; a value."""
        return self._view("messages", list[dict[str, str]])

    def _view(self, kind: Any, annotation: Any) -> Value:
        node_id = self._trace.graph.next_id()
        self._trace.graph.add(View(id=node_id, scope=self._scope, prompt=self._prompt, kind=kind))
        return Value(self._trace, Ref(node_id), f"s.{kind}()", annotation)

    def __ramify_operand__(self) -> Value:
        return self.text()

    def __format__(self, spec: str) -> str:
        return format(self.text(), spec)

    @property
    def last(self) -> Value:
        """The value that was generated last on this state, named or not."""
        if self._last is None:
            raise UnknownVariableError(
                "nothing was generated on this state yet.", where=self._trace.where()
            )
        return self._last

    # branches

    def fork(self, n: int | None = None) -> Any:
        """`n` branches that share the prompt; without `n`, one branch, also as a `with` block."""
        from ramify.dsl.branches import Branches

        if n is None:
            return self._branch("fork")
        if type(n) is not int or n < 1:
            raise ProgramError(
                f"fork({n!r}) makes no branch.",
                hint="It takes their number, at least 1.",
                where=self._trace.where(),
            )
        return Branches(self, [self._branch(f"[{i}]") for i in range(n)])

    def _branch(self, label: str) -> State:
        joint = "" if label.startswith("[") else "/"
        return State(self._trace, self._prompt, f"{self._scope}{joint}{label}", self)

    def fork_empty(self) -> State:
        """A branch of an empty prompt, as sub-programs have."""
        return State(self._trace, Prompt(), f"{self._scope}/fork", self)

    def before_message(self, what: str) -> State:
        """A branch from before the assistant message that is open and still empty here."""
        tip = self._prompt
        if type(tip.segment) is not Open or self._role != "assistant" or tip.parent is None:
            raise ProgramError(
                f"{what} needs an assistant message of its own.",
                hint="Write s += rf.assistant(rf.gen(...)) with nothing else in the message.",
                where=self._trace.where(),
            )
        return State(self._trace, tip.parent, f"{self._scope}/organized", self)

    def __enter__(self) -> State:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def each(
        self, items: Any, body: Callable[..., Any], *, limit: int | None = None
    ) -> Branches | EachBranches:
        """One branch of this state per item: `body(branch, item)` is traced for each.

        A list is fanned out now; a value, as soon as it is known. Items over `limit` are left out.
        """
        from ramify.dsl.fan_out import each

        return each(self, items, body, limit)

    def join(
        self, branches: Joinable | Sequence[State], mode: JoinMode = "text", *, repair: int = 0
    ) -> State:
        """Append what the branches appended, in order.

        `mode="text"` is the ordinary prompt. `mode="kv"` makes them parallel blocks, which do not
        see each other and are not computed again (plain text where the backend cannot). The first
        `repair` tokens of each such block are computed again in sight of all that stands before
        them, which brings the blocks nearer to the text.
        """
        from ramify.dsl.branches import joined

        self._prompt = Prompt(self._prompt, joined(self, branches, mode, repair))
        return self

    def as_branch(self) -> Branch:
        """What this branch has appended and named so far."""
        names = tuple((name, value._ref) for name, value in self._names.own.items())
        return Branch(Block(self._start, self._prompt), names)

    def __iter__(self) -> Iterator[Any]:
        raise ProgramError("a state cannot be iterated.", hint="Use s.each(...) or s.fork(n).")

    def __repr__(self) -> str:
        names = ", ".join(self._names.own)
        return f"<state {self._scope!r}: {len(self._prompt)} segments, {names}>"
