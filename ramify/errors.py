"""Every error that Ramify raises on purpose.

An error says what is wrong, where (program and node, when they are known) and the way out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Where:
    """The place an error speaks of; empty fields are left out of the message."""

    program: str = ""
    node: str = ""

    def __str__(self) -> str:
        parts = [f"program {self.program!r}" if self.program else ""]
        parts.append(f"node {self.node!r}" if self.node else "")
        return ", ".join(part for part in parts if part)


class RamifyError(Exception):
    """Base of all errors: `what` is wrong, `where`, and the `hint` that leads out."""

    def __init__(self, what: str, *, hint: str = "", where: Where | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.where = where or Where()

    def __str__(self) -> str:
        place = str(self.where)
        text = f"{place}: {self.what}" if place else self.what
        return f"{text} {self.hint}" if self.hint else text

    def at(self, *, program: str = "", node: str = "") -> RamifyError:
        """Fill in the place where it is not known yet; returns self for `raise error.at(...)`."""
        self.where = Where(self.where.program or program, self.where.node or node)
        return self


class ProgramError(RamifyError):
    """A program was written in a way that cannot mean anything."""


class UnknownVariableError(ProgramError, KeyError):
    """`s[name]` for a name that the state never generated."""

    __str__ = RamifyError.__str__


class DuplicateNameError(ProgramError):
    """The same name twice on one state."""


class ValueUseError(ProgramError, TypeError):
    """A value that does not exist yet was used as if it were plain text."""


class GraphError(RamifyError):
    """A graph breaks one of its invariants: a defect of Ramify or of a pass."""


class MissingExtraError(RamifyError, ImportError):
    """An optional part of Ramify was asked for and is not installed."""


class BackendError(RamifyError):
    """A backend could not do what was asked of it."""


class CapabilityError(BackendError):
    """A node needs what the backend does not have."""


class ConstraintError(BackendError, ValueError):
    """A regex, schema, grammar or choice is invalid, or the tokenizer cannot satisfy it."""


class PromptTooLongError(BackendError, ValueError):
    """Prompt and answer do not fit the model's context."""


class PoolTooSmallError(BackendError, MemoryError):
    """One request needs more KV slots than the whole pool has."""


class ModelLoadError(BackendError):
    """A model folder cannot be used: missing files or tensors, or an unsupported family."""


class BackendDiedError(BackendError):
    """The backend stopped working; every waiting request fails with the cause."""


class ServerUnreachableError(BackendDiedError):
    """Nothing answers at a server's address, or it does not speak TLS, or it hung up."""


class ServerUntrustedError(BackendError):
    """A server's TLS certificate is not signed by anybody known, has expired, or is another's."""


class ServerRefusedError(BackendError):
    """A server does not take a request: wrong key, unknown model, an option that it rejects."""


class RateLimitedError(BackendError):
    """A server said "too many requests" until the time or the tries for it were used up."""


class ServerFailedError(BackendDiedError):
    """A server took a request and failed: status 5xx, or an answer that cannot be read."""


class ServerTooOldError(BackendError):
    """A server or a library is of a version that cannot do what is needed."""


class ServerTimeoutError(BackendError, TimeoutError):
    """A server did not connect, begin, go on or finish in the time that was allowed for it."""


class NodeTimeoutError(RamifyError, TimeoutError):
    """A node or a run took longer than its timeout policy allows."""


class UpstreamError(RamifyError):
    """A node was not run because a node that it reads has failed."""


class NodeCancelledError(RamifyError):
    """A node was cancelled: its run ended, or `rf.first` had enough without it."""
