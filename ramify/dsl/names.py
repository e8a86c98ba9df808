"""The values of a state by their names, and those of the states that it was forked from."""

from __future__ import annotations

from collections.abc import Iterator

from ramify.dsl.trace import Trace
from ramify.dsl.value import Value
from ramify.errors import DuplicateNameError, UnknownVariableError


class Names:
    """Names are the state's own; looking one up goes outwards."""

    def __init__(self, trace: Trace, outer: Names | None) -> None:
        self._trace = trace
        self._outer = outer
        self.own: dict[str, Value] = {}
        self.kept: list[Value] = []  # named by `s[name] = ...`: wanted although nobody reads them

    def need_new(self, name: str) -> None:
        """Raise DuplicateNameError for a name that is taken here."""
        if name in self.own:
            raise DuplicateNameError(
                f"the name {name!r} is used twice on one state.",
                hint="Use another name, a fork, or no name.",
                where=self._trace.where(name),
            )

    def add(self, name: str, value: Value) -> None:
        """A name that is new here."""
        self.own[name] = value
        self._trace.named.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> Value:
        for names in self._outwards():
            if name in names.own:
                return names.own[name]
        raise UnknownVariableError(
            f"there is no variable {name!r}.",
            hint=f"Known here: {', '.join(self.known()) or 'none yet'}.",
            where=self._trace.where(),
        )

    def __contains__(self, name: str) -> bool:
        return any(name in names.own for names in self._outwards())

    def known(self) -> list[str]:
        """All names, nearest first."""
        return list(dict.fromkeys(name for names in self._outwards() for name in names.own))

    def _outwards(self) -> Iterator[Names]:
        names: Names | None = self
        while names is not None:
            yield names
            names = names._outer
