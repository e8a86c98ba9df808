"""Operations that are appended to a state: generate, select, and messages of roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ramify.dsl.marker import need_plain
from ramify.dsl.trace import current
from ramify.dsl.typed import constraint_of
from ramify.errors import ProgramError, RamifyError
from ramify.ir import (
    Constraint,
    Forks,
    Generate,
    Node,
    Prompt,
    Role,
    Sampling,
    Score,
    Select,
    Tool,
)
from ramify.ir.nodes import SelectMethod

Organize = Literal["sequential", "skeleton", "graph", "fork", "auto"]
_ORGANIZED = get_args(Organize)[1:]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to append; it becomes a node of the state that it is appended to."""

    name: str

    def __format__(self, spec: str) -> str:
        return current(f"rf.{type(self).__name__.lower()}").mark(self, self.name)


@dataclass(frozen=True, slots=True)
class Gen(Operation):
    sampling: Sampling
    constraint: Constraint | None = None
    parse: Callable[[str], Any] | None = field(default=None, repr=False)
    annotation: Any = str
    samples: int = 1
    model: str = ""
    organize: str = ""  # "": the answer is written in one go
    lenient: bool = False
    forks: Forks | None = None
    tools: tuple[Tool, ...] = ()

    __format__ = Operation.__format__


@dataclass(frozen=True, slots=True)
class Choose(Operation):
    options: tuple[str, ...]
    method: SelectMethod = "normalized"
    model: str = ""

    __format__ = Operation.__format__


@dataclass(frozen=True, slots=True)
class Measure(Operation):
    continuations: tuple[str, ...]
    model: str = ""

    __format__ = Operation.__format__


@dataclass(frozen=True, slots=True)
class Message:
    """Pieces inside one message of a role."""

    role: Role
    pieces: tuple[Any, ...]


def system(*pieces: Any) -> Message:
    """A system message."""
    return Message("system", pieces)


def user(*pieces: Any) -> Message:
    """A user message."""
    return Message("user", pieces)


def assistant(*pieces: Any) -> Message:
    """An assistant message; usually around an `rf.gen`."""
    return Message("assistant", pieces)


def tool(*pieces: Any) -> Message:
    """A message with a tool's result."""
    return Message("tool", pieces)


def gen(
    name: str = "",
    *,
    regex: str | None = None,
    schema: Any = None,
    grammar: str | None = None,
    choices: Sequence[str] | None = None,
    n: int = 1,
    model: str = "",
    organize: Organize | None = None,
    forks: Forks | None = None,
    tools: Sequence[Callable[..., Any]] | None = None,
    **sampling: Any,
) -> Gen:
    """Generate text here.

    One of `regex` (the whole answer matches), `schema` (a pydantic model, a type, or a JSON
    schema; the value is typed), `grammar` (Lark) or `choices` constrains the answer. `n` samples
    make the value a list. `model` names one of the run's backends. `organize` writes the answer in
    parts, side by side: "skeleton" (`rf.patterns.skeleton_of_thought`), "graph"
    (`skeleton_graph`), "fork" (`fork_tokens`), or "auto", where a router and the cost model decide
    between a skeleton and the plain answer; `max_tokens` is then the length of the whole answer.
    `forks` names the tokens of a model that was trained to fork, for "fork" and "auto".
    With `tools`, Python functions that the model may call, the value is a reply: `.text`, and
    `.calls`, each with `.name` and `.arguments`. Nothing is called here: see
    `rf.patterns.use_tools`.
    `sampling` are the fields of `rf.Sampling`: max_tokens, stop, temperature, seed, top_p ...

    Raises ProgramError or ConstraintError for options that cannot mean anything.
    """
    try:
        made = _gen(name, regex, schema, grammar, choices, n, model, organize, sampling)
        made = made if forks is None else _with_forks(made, forks)
        return made if tools is None else _with_tools(made, tools)
    except RamifyError as error:
        error.at(node=name)
        raise


def _gen(
    name: str,
    regex: str | None,
    schema: Any,
    grammar: str | None,
    choices: Sequence[str] | None,
    n: int,
    model: str,
    organize: str | None,
    sampling: dict[str, Any],
) -> Gen:
    _need_name(name)
    need_plain("model", [model])
    constraint, parse, annotation = constraint_of(regex, schema, grammar, choices)
    if type(n) is not int or n < 1:
        raise ProgramError(f"n={n!r} is not allowed.", hint="It must be a whole number from 1 up.")
    if n > 1 and sampling.get("temperature", 0.0) == 0:
        raise ProgramError(
            f"n={n} samples at temperature 0 would all be the same.", hint="Set temperature=."
        )
    organize = "" if organize in (None, "sequential") else organize
    if organize and organize not in _ORGANIZED:
        known = ", ".join(repr(way) for way in _ORGANIZED)
        raise ProgramError(f"organize={organize!r} is unknown.", hint=f"Choose {known} or None.")
    if organize and (constraint is not None or n > 1):
        raise ProgramError(
            f"organize={organize!r} cannot be combined with a constraint or n > 1.",
            hint="Leave one of them out.",
        )
    options = Sampling.of(**sampling)
    need_plain("stop", options.stop)
    if n > 1:
        annotation = list[annotation]  # type: ignore[valid-type]
    return Gen(name, options, constraint, parse, annotation, n, model, organize or "")


def _with_forks(made: Gen, forks: Forks) -> Gen:
    if made.organize not in ("fork", "auto"):
        raise ProgramError(
            "forks are named, but the answer is not to fork.",
            hint='Add organize="fork" or organize="auto".',
        )
    return replace(made, forks=forks)


def _with_tools(made: Gen, tools: Sequence[Callable[..., Any]]) -> Gen:
    from ramify.dsl.tools import Reply, by_name, read_reply, tool_of

    if made.constraint is not None or made.samples > 1 or made.organize:
        raise ProgramError(
            "tools cannot be combined with a constraint, n > 1 or organize.",
            hint="Leave one of them out.",
        )
    told = tuple(map(tool_of, by_name(tools).values()))
    return replace(made, tools=told, parse=read_reply, annotation=Reply)


def select(
    name: str = "",
    options: Sequence[str] = (),
    *,
    method: SelectMethod = "normalized",
    model: str = "",
) -> Choose:
    """Choose the most likely of `options`; all of them are scored in one pass.

    `method`: "normalized" (mean log-probability per token), "likelihood" (sum), "greedy" (the
    first differing token decides).
    """
    _need_texts("select", name, options)
    if method not in ("normalized", "likelihood", "greedy"):
        raise ProgramError(
            f"method={method!r} is unknown.", hint="Choose normalized, likelihood or greedy."
        )
    return Choose(name, tuple(options), method, model)


def score(name: str, continuations: Sequence[str], *, model: str = "") -> Measure:
    """Log-probabilities of continuations here, as a list of floats; appends nothing."""
    _need_texts("score", name, continuations)
    return Measure(name, tuple(continuations), model)


def _need_name(name: Any) -> None:
    """Raise ProgramError for what is no name."""
    if not isinstance(name, str):
        raise ProgramError(f"the name {name!r} is not a string.", hint='rf.gen("name", ...).')
    need_plain("the name", [name])


def _need_texts(what: str, name: str, texts: Sequence[str]) -> None:
    """Raise ProgramError for what cannot be scored; ValueUseError for texts that are not known."""
    many = isinstance(texts, Iterable) and not isinstance(texts, str)
    if not many or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ProgramError(
            f"{what} needs a list of non-empty strings, not {texts!r}.",
            hint=f'rf.{what}("name", ["yes", "no"]).',
        )
    _need_name(name)
    need_plain(f"the list of {what}", texts)


def node_of(piece: Operation, node_id: int, scope: str, prompt: Prompt) -> Node:
    """The node of an operation that is appended to a prompt."""
    common: dict[str, Any] = {"id": node_id, "name": piece.name, "scope": scope, "prompt": prompt}
    if isinstance(piece, Gen):
        return Generate(
            **common,
            model=piece.model,
            sampling=piece.sampling,
            constraint=piece.constraint,
            parse=piece.parse,
            samples=piece.samples,
            lenient=piece.lenient,
            forks=piece.forks,
            tools=piece.tools,
        )
    if isinstance(piece, Choose):
        return Select(**common, model=piece.model, options=piece.options, method=piece.method)
    if isinstance(piece, Measure):
        return Score(**common, model=piece.model, continuations=piece.continuations)
    raise ProgramError(f"{piece!r} cannot be appended.", hint="Append rf.gen or rf.select.")


def annotation_of(piece: Operation) -> Any:
    """The type of an operation's value."""
    if isinstance(piece, Gen):
        return piece.annotation
    return list[float] if isinstance(piece, Measure) else str
