"""How tokens are chosen: one dataclass for the language, the graph and every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

from ramify.errors import ConstraintError, ProgramError

ConstraintKind = Literal["regex", "schema", "grammar", "choices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling options; the defaults decode greedily.

    A new option is one line here: `rf.gen`, the graph and the backends all read this class.
    """

    max_tokens: int = 128
    min_tokens: int = 0
    temperature: float = 0.0  # 0 is greedy; every other option of chance is then unused
    top_p: float = 1.0
    top_k: int = 0  # 0 keeps all
    min_p: float = 0.0
    seed: int | None = None  # None with temperature > 0: the runtime draws one and reports it
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    stop_ids: tuple[int, ...] = ()
    ignore_end: bool = False  # go on past the model's end token
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logprobs: int = 0  # report this many top log-probabilities per token

    def __post_init__(self) -> None:
        for name, fits, need in _CHECKS:
            if not fits(getattr(self, name)):
                raise self._wrong(name, need)
        for name, ok, need in (
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
            ("min_tokens", 0 <= self.min_tokens <= self.max_tokens, "0 to max_tokens"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "over 0, at most 1"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("min_p", 0 <= self.min_p < 1, "0 to below 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "over 0"),
            ("stop", all(self.stop), "non-empty strings"),
            ("logprobs", self.logprobs >= 0, "0 or more"),
        ):
            if not ok:
                raise self._wrong(name, need)

    def _wrong(self, name: str, need: str) -> ProgramError:
        value = getattr(self, name)
        return ProgramError(f"{name}={value!r} is not allowed.", hint=f"It must be {need}.")

    @property
    def deterministic(self) -> bool:
        """Whether the same prompt always gives the same tokens."""
        return self.temperature == 0 or self.seed is not None

    @classmethod
    def of(cls, **options: Any) -> Sampling:
        """Build from keyword options as a program writes them: `stop` and `stop_ids` may be one or
        a list."""
        unknown = [name for name in options if name not in SAMPLING_OPTIONS]
        if unknown:
            near = get_close_matches(unknown[0], SAMPLING_OPTIONS, 1)
            known = f"Known: {', '.join(SAMPLING_OPTIONS)}."
            hint = f"Did you mean {near[0]!r}?" if near else known
            raise ProgramError(f"unknown sampling option {unknown[0]!r}.", hint=hint)
        for name in ("stop", "stop_ids"):
            given = options.get(name, ())
            if given is None:
                options[name] = ()
            elif isinstance(given, str) or not isinstance(given, Iterable):
                options[name] = (given,)
            else:
                options[name] = tuple(given)
        return cls(**options)


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


# by the type of a field: what fits it, and how that is called
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_whole, "a whole number"),
    "int | None": (lambda value: value is None or _whole(value), "a whole number or None"),
    "float": (lambda value: isinstance(value, Real) and not isinstance(value, bool), "a number"),
    "bool": (lambda value: type(value) is bool, "True or False"),
    "tuple[str, ...]": (lambda values: all(isinstance(v, str) for v in values), "strings"),
    "tuple[int, ...]": (lambda values: all(map(_whole, values)), "whole numbers"),
}
_CHECKS = [(field.name, *_KINDS[str(field.type)]) for field in fields(Sampling)]
SAMPLING_OPTIONS = tuple(field.name for field in fields(Sampling))
GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the generated text must look like.

    `text` is the regex (whole answer must match), the JSON schema as compact JSON (fields are
    written in its order), or the grammar in Lark syntax; `choices` holds the options of the kind
    "choices".
    """

    kind: ConstraintKind
    text: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choices":
            if not self.choices or not all(self.choices):
                raise ConstraintError(
                    "choices must be a non-empty list of non-empty strings.",
                    hint=f"Got {self.choices!r}.",
                )
            if len(set(self.choices)) != len(self.choices):
                raise ConstraintError("choices repeat.", hint=f"Got {self.choices!r}.")
        elif not self.text:
            raise ConstraintError(f"the {self.kind} is empty.", hint="Leave it out instead.")
