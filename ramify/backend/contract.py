"""What a backend is: token ids in, token ids out.

The runtime renders prompts into tokens with the backend's own renderer, sends `Request`s and reads
`Delta`s. Capabilities are declared, never guessed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

from ramify.backend.forks import MAIN as MAIN
from ramify.backend.forks import NO_BANS as NO_BANS
from ramify.backend.forks import Bans as Bans
from ramify.backend.forks import Branch as Branch
from ramify.backend.forks import ForkRule as ForkRule
from ramify.backend.render import Renderer
from ramify.errors import BackendError
from ramify.ir.sampling import Constraint, ConstraintKind, Sampling
from ramify.ir.tools import Tool
from ramify.ir.vectors import Vectors

Finish = Literal["stop", "length"]  # stop: end token, stop string, or the grammar is complete


@dataclass(frozen=True, slots=True)
class BlockSpan:
    """`ids[start:stop]` of a prompt is one parallel block.

    Spans of the same `group` do not see each other; both see what stands before the group, and
    what stands after the group sees all of them. Each token sees an ordinary sequence: what it
    sees, in order, at the positions 0, 1, 2, ... A token whose logits are asked for is in no
    block: it sees everything before it.

    The first `repair` tokens of a block are replaced, for all who read them from outside of the
    block, by tokens that see everything before them (EPIC, arXiv:2410.15332).
    """

    start: int
    stop: int
    group: int
    repair: int = 0


@dataclass(frozen=True, slots=True)
class VectorSpan:
    """The vectors stand in the places of the ids from `start` on, which mean nothing there."""

    start: int
    vectors: Vectors

    @property
    def stop(self) -> int:
        """The position behind the last vector."""
        return self.start + self.vectors.count


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A rendered prompt. A backend without `parallel_blocks` reads `ids` in order and no more;
    one without `embeddings_in` refuses a prompt with `vectors` (in order, none over another)."""

    ids: tuple[int, ...]
    blocks: tuple[BlockSpan, ...] = ()
    vectors: tuple[VectorSpan, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a plan knows of a prompt's future: another request will read its first `tokens` tokens
    again, `steps` steps of the plan from now (1: what comes next). Behind the prompt's, those of
    the answer count."""

    tokens: int
    steps: int = 1

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.steps < 1:
            raise BackendError(f"{self} is not allowed: tokens are 0 or more, steps 1 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One generation."""

    prompt: TokenPrompt
    sampling: Sampling
    constraint: Constraint | None = None
    priority: float = 0.0  # seconds of work that wait for this answer: larger runs sooner
    promise: Promise | None = None  # a hint: who does not keep prefixes by plan ignores it
    salt: str = ""  # prefixes are shared only among requests of equal salt
    label: str = ""  # "program/node", for errors and traces
    stream: bool = True  # False: nobody reads before the end, so one delta is enough
    samples: int = 1  # over 1 only with the capability: as many answers, told apart by `index`
    bans: Bans = NO_BANS  # only with the capability
    tools: tuple[Tool, ...] = ()  # only with the capability; calls come as `ir.tools` spells them
    fork: ForkRule | None = None  # only with the capability; see `fork_lowering` for the others

    def __post_init__(self) -> None:
        rule = self.fork
        if rule is not None and (self.constraint is not None or self.samples != 1 or self.bans):
            raise BackendError("a request that forks has no constraint, no bans and one sample.")
        if rule is not None and {rule.fork, rule.child} & {*self.sampling.stop_ids}:
            raise BackendError("the tokens of a fork cannot be stop ids at the same time.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Log-probabilities of each continuation after the prompt, all in one pass where possible,
    and of the prompt's own tokens from index `prompt_from` (1 or more) on, where that is asked.

    The prompt's own need the capability `prompt_logprobs`. What stands before `prompt_from` is
    read from the cache like any prompt; name it where only a part of the prompt is of interest.
    """

    prompt: TokenPrompt
    continuations: tuple[tuple[int, ...], ...] = ()
    prompt_from: int | None = None
    priority: float = 0.0
    promise: Promise | None = None  # of the prompt; see `Request`
    salt: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        start = self.prompt_from
        if start is not None and not 1 <= start <= len(self.prompt):
            raise BackendError(
                f"prompt_from={start} is not allowed for a prompt of {len(self.prompt)} tokens.",
                hint="The first token has no log-probability: nothing stands before it.",
            )
        if start is not None and any(span.stop > start for span in self.prompt.vectors):
            raise BackendError(
                "vectors have no log-probabilities, and some stand behind prompt_from.",
                hint="Name a later prompt_from.",
            )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and seconds of one request; `+` adds tokens and seconds up."""

    prompt_tokens: int = 0  # of a score: the continuations' too
    cached_tokens: int = 0  # of the prompt tokens: found in the cache, not computed
    output_tokens: int = 0
    first_token_s: float = 0.0  # from submission to the first token
    total_s: float = 0.0

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were really computed."""
        return self.prompt_tokens - self.cached_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.first_token_s + other.first_token_s,
            self.total_s + other.total_s,
        )


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The chosen token's log-probability and the most likely alternatives (id, log-probability)."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A step of a generation. The last delta, and only it, has `finish` and `usage`; of several
    samples, the last delta of each `index` (the sample `i` is what the seed + i alone would give);
    of an answer that forks, the last delta of each branch. The stream ends when all have ended.

    A parent's delta that ends with the token `fork` comes before its child's first, whose ids are
    the forced token alone. A child's usage has no prompt tokens, so usages add up; its output
    tokens are all of its ids.

    `text` never takes back what an earlier delta said: text that may turn out to be a stop string
    is held until that is known. The concatenation of all `ids` is what a continuation of the
    prompt builds on; the concatenation of all `text` is the answer (no stop string, no end token).
    """

    ids: tuple[int, ...] = ()
    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    index: int = 0
    branch: Branch = MAIN
    stop_id: int | None = None  # with finish "stop": the stop or end token, where one ended it


@dataclass(frozen=True, slots=True)
class Scores:
    """Per continuation the log-probability (natural) of each of its tokens; `prompt`: those of
    the prompt's tokens from `prompt_from` on."""

    logprobs: tuple[tuple[float, ...], ...]
    usage: Usage
    prompt: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; a node that needs more is lowered or refused by name."""

    token_prompts: bool = True  # False: ids only spell text, which the backend tokenizes itself
    prefix_cache: bool = False
    cached_token_counts: bool = False
    priorities: bool = False
    constraints: frozenset[ConstraintKind] = frozenset()
    scores: bool = False
    prompt_logprobs: bool = False
    logprobs: bool = False
    token_bans: bool = False
    samples: bool = False  # several answers to one prompt in one request
    tools: bool = False  # a form of its own for tool calls; elsewhere they are text
    fork_on_token: bool = False
    parallel_blocks: bool = False
    embeddings_in: bool = False
    promises: bool = False  # a request's promise has a part in what is evicted
    lacks: tuple[tuple[str, str], ...] = ()  # (capability, why), where that depends on the model

    def why_not(self, capability: str) -> str:
        """Why a capability is absent, where there is more to say than that it is."""
        return dict(self.lacks).get(capability, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The few numbers of the cost model. Times in seconds, prices per million tokens."""

    name: str
    context: int  # tokens of prompt and answer together
    prefill_s: float = 1e-4  # per computed prompt token
    decode_s: tuple[tuple[int, float], ...] = ((1, 0.02), (16, 0.03))  # (batch, seconds a step)
    price_input: float = 0.0
    price_cached: float = 0.0
    price_output: float = 0.0
    max_batch: int = 64

    def step_s(self, batch: int) -> float:
        """Seconds of one decode step at a batch size, between the measured points on a line."""
        points = self.decode_s
        if batch <= points[0][0]:
            return points[0][1]
        for (low, a), (high, b) in pairwise(points):
            if batch <= high:
                return a + (b - a) * (batch - low) / (high - low)
        last, seconds = points[-1]
        return seconds * batch / last

    def with_measured(self, **numbers: object) -> Profile:
        """The same profile with measured numbers in place of the defaults."""
        return replace(self, **numbers)  # type: ignore[arg-type]


@runtime_checkable
class Backend(Protocol):
    """Computes tokens. All methods are called from one event loop; cancellation of the awaiting
    task (or closing the stream) frees everything that the request held.
    """

    name: str
    capabilities: Capabilities
    renderer: Renderer

    def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Stream one generation. An answer that reaches the end of the context is cut there and
        finishes with "length"; a prompt that leaves no room for a token is refused.

        Raises PromptTooLongError, ConstraintError, CapabilityError, PoolTooSmallError or
        BackendDiedError, at the latest at the first step of the stream.
        """
        ...

    async def score(self, request: ScoreRequest) -> Scores:
        """Log-probabilities of continuations."""
        ...

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        """Compute a prompt into the cache, so that later requests find it. May do nothing."""
        ...

    def profile(self) -> Profile:
        """The numbers of the cost model, measured or default."""
        ...

    async def close(self) -> None:
        """Free everything; waiting requests fail. Closing twice is fine."""
        ...
