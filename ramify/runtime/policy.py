"""What a run does when things go wrong or take long: small frozen values."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from ramify.errors import BackendDiedError, ProgramError

OnError = Literal["fail", "keep", "best_effort"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a node again after errors that may pass: `attempts` in all, waiting longer each time.

    Waits are `backoff_s * 2**(attempt - 1)`, stretched by up to `jitter` of themselves. Errors
    that would come again (wrong input, missing capability) are never retried.
    """

    attempts: int = 1
    backoff_s: float = 0.5
    jitter: float = 0.25
    on: tuple[type[BaseException], ...] = (BackendDiedError, ConnectionError, TimeoutError)

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ProgramError(f"attempts={self.attempts!r} is not allowed.", hint="At least 1.")

    def allows(self, error: BaseException, attempt: int) -> bool:
        """Whether to try again after `error` ended attempt number `attempt` (from 1)."""
        return attempt < self.attempts and isinstance(error, self.on)

    def wait_s(self, attempt: int) -> float:
        return float(self.backoff_s * 2 ** (attempt - 1) * (1 + self.jitter * random.random()))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which a node or a whole run is given up; None waits for ever."""

    node_s: float | None = None
    run_s: float | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("node_s", self.node_s), ("run_s", self.run_s)):
            if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
                raise ProgramError(
                    f"{name}={seconds!r} is not allowed.", hint="Seconds over 0, or None."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run treats failure.

    `on_error`: "fail" cancels the whole run at the first error; "keep" lets everything that does
    not read a failed node finish, and reading a failed value raises; "best_effort" reads a failed
    value as empty text and leaves failed branches out of joins.

    `compare_joins` asks every generation that reads parallel blocks once more with the same text in
    order, and reports how far the answers agree in `result.joins`. It is for judging a program: it
    costs what the parallel blocks save.
    """

    on_error: OnError = "fail"
    retry: Retry = field(default_factory=Retry)
    timeouts: Timeouts = field(default_factory=Timeouts)
    salt: str = ""
    compare_joins: bool = False
    optimize: bool = True  # False is the naive twin: no pass changes anything

    def __post_init__(self) -> None:
        if self.on_error not in ("fail", "keep", "best_effort"):
            raise ProgramError(
                f"on_error={self.on_error!r} is unknown.",
                hint="Choose 'fail', 'keep' or 'best_effort'.",
            )
        if not isinstance(self.retry, Retry):
            raise ProgramError(
                f"retry={self.retry!r} is not allowed.", hint="Write retry=rf.Retry(attempts=3)."
            )
        if not isinstance(self.timeouts, Timeouts):
            raise ProgramError(
                f"timeouts={self.timeouts!r} is not allowed.",
                hint="Write timeouts=rf.Timeouts(run_s=60).",
            )


def policy_of(policy: Policy | None) -> Policy:
    """A policy as given, or the default one; raises ProgramError for what is none."""
    if policy is None:
        return Policy()
    if isinstance(policy, Policy):
        return policy
    raise ProgramError(
        f"policy={policy!r} is not a policy.", hint='Write policy=rf.Policy(on_error="keep").'
    )
