"""What a run gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ramify.backend.contract import Usage
from ramify.errors import RamifyError, UnknownVariableError, Where
from ramify.ir import NodeId
from ramify.planner import Account, Plan
from ramify.runtime.agreement import JoinAgreement
from ramify.runtime.outcome import text_of


@dataclass(slots=True, repr=False)
class Result:
    """The answer of a program run, its variables, and the account of what happened.

    `value` is what the program returned with every value in place; `text` reads it as text.
    `result[name]` is a variable of the program's state. `errors` holds the failed nodes of a run
    that was allowed to go on; `failure` is what ended a row of a batch. `notes` says what was not
    done as it was asked for (a plan that did not parse, items over a limit, branches that failed).
    Results of a batch carry no plan unless it was asked for.
    """

    program: str
    value: Any
    variables: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[RamifyError, ...] = ()
    failure: Exception | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    plan: Plan | None = None
    accounts: Mapping[NodeId, Account] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    joins: tuple[JoinAgreement, ...] = ()  # see `Policy.compare_joins`

    @property
    def text(self) -> str:
        """The returned value as text; lists line by line. Raises a failed row's failure."""
        if self.failure is not None:
            raise self.failure
        if isinstance(self.value, (list, tuple)):
            return "\n".join(text_of(item) for item in self.value)
        return text_of(self.value)

    @property
    def ok(self) -> bool:
        """Whether the run came to its end without a failed node."""
        return self.failure is None and not self.errors

    def __getitem__(self, name: str) -> Any:
        if self.failure is not None:
            raise self.failure
        if name in self.variables:
            found = self.variables[name]
            if isinstance(found, RamifyError):
                raise found
            return found
        known = ", ".join(self.variables) or "none"
        raise UnknownVariableError(
            f"there is no variable {name!r}, or nothing that was returned needed it.",
            hint=f"Known: {known}. Return it, or name it with s[{name!r}] = ...",
            where=Where(self.program),
        )

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def explain(self) -> str:
        """The plan beside what happened, as a table for terminals."""
        if self.plan is None:
            return f"{self.program}: no plan was kept (run_batch(..., explain=True) keeps it)"
        return self.plan.explain(self.accounts)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        if self.failure is not None:
            return f"<result of {self.program!r}: failed, {self.failure}>"
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return f"<result of {self.program!r}: {text!r}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/plain": self.text}
        if self.plan is not None:
            from ramify.planner.html import html_of

            bundle["text/html"] = html_of(self.plan, self.accounts)
        return bundle
