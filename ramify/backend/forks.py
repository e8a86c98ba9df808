"""Fork on token: an answer that is a tree of branches (APAR, arXiv:2401.06761).

When a branch says the token `fork`, a child branches off right behind it: the child goes on with
the token `child`, which is forced, while its parent goes on as if nothing had happened. There is
no join; the parent never reads its children.

What an answer with forks is does not depend on time. Between two forks lies a *stretch*, which is
a generation of its own: prompt and path are its prompt, it draws with a seed of its own, stop
strings and penalties that count the answer's tokens do not reach over its borders, and the limits
count along one path or within one branch. So a backend that knows nothing of forks gives the same
tree by requests that stop at `fork` (see `fork_lowering`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from ramify.errors import BackendError
from ramify.ir.sampling import Sampling

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bans:
    """Tokens that are never drawn, and such as are not drawn as the first token of an answer."""

    always: tuple[int, ...] = ()
    first: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.always or self.first)


NO_BANS = Bans()


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of an answer. `path` numbers the forks that lead to it: () is the main branch,
    (1,) its second child, (1, 0) the first child of that."""

    path: Path = ()
    at: int = 0  # the child goes on behind its parent's own `ids[:at]`, whose last is `fork`
    chars: int = 0  # length of its parent's own text up to there

    @property
    def parent(self) -> Path:
        """The path of its parent; the main branch has none."""
        if not self.path:
            raise ValueError("the main branch has no parent")
        return self.path[:-1]


MAIN = Branch()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRule:
    """How an answer forks.

    `child` is forced and never drawn; `fork` is not drawn right behind `fork` or `child`, nor in a
    branch that has reached a limit. Both are part of a branch's `ids` and have no text, whatever
    bytes they stand for, and no log-probabilities. `max_depth`: forks on the way from the root to
    a branch; `max_branches`: children of one branch. `max_tokens` of the sampling bounds each
    path, `fork` and `child` counted: an answer with forks needs no more context than one without.
    A fork that leaves its child no room for a token makes no child. `keep` leaves the KV of
    finished children in the cache (for a join, or to be continued) instead of freeing it at once.
    """

    fork: int
    child: int
    max_depth: int = 2
    max_branches: int = 16
    keep: bool = False

    def __post_init__(self) -> None:
        if self.fork == self.child or min(self.max_depth, self.max_branches) < 1:
            raise BackendError(
                f"the rule {self} cannot be followed.",
                hint="fork and child are two tokens; max_depth and max_branches are 1 or more.",
            )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A branch between two forks (or its ends): what the request for it alone would be."""

    rule: ForkRule
    sampling: Sampling  # of the whole request
    branch: Branch = MAIN
    forks: int = 0  # children of this branch so far
    used: int = 0  # tokens behind the prompt on the path to here
    own: int = 0  # of them: of this branch
    chars: int = 0  # of this branch's text

    @property
    def may_fork(self) -> bool:
        """Whether the branch is within the limits."""
        return len(self.branch.path) < self.rule.max_depth and self.forks < self.rule.max_branches

    @property
    def bans(self) -> Bans:
        """What it must not draw."""
        rule = self.rule
        if not self.may_fork:
            return Bans((rule.child, rule.fork))
        return Bans((rule.child,), (rule.fork,) if self.used else ())

    def own_sampling(self) -> Sampling:
        """The options of this stretch as a generation of its own; `fork` is not among the stops."""
        whole = self.sampling
        seed = whole.seed
        if seed is not None and self.used:  # neighbours must not draw the same numbers
            key = repr((seed, self.branch.path, self.forks)).encode()
            seed = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 1
        return replace(
            whole,
            max_tokens=whole.max_tokens - self.used,
            min_tokens=max(0, whole.min_tokens - self.used),
            seed=seed,
        )

    def fork(self, tokens: int, chars: int) -> tuple[Stretch | None, Stretch | None]:
        """The parent and the child behind a fork, None where there is no room for a token.

        `tokens` and `chars` are those of this stretch, the token `fork` counted.
        """
        room = self.sampling.max_tokens - self.used - tokens
        parent = replace(
            self, used=self.used + tokens, own=self.own + tokens, chars=self.chars + chars
        )
        child = None
        if room > 1:
            branch = Branch((*self.branch.path, self.forks), parent.own, parent.chars)
            used = parent.used + 1
            child = Stretch(self.rule, self.sampling, branch, used=used, own=1)
            parent = replace(parent, forks=self.forks + 1)
        return parent if room > 0 else None, child
