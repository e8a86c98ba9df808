"""What a compressor promises: the same kind of object, shorter, and where each piece came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from ramify.errors import RamifyError
from ramify.ir.vectors import Mixed
from ramify.retrieval.contract import Passage, Passages

Count = Callable[[str], int]
Rate = float | Literal["auto"]

# "auto" chooses among these only, so that requests meet in few versions of a text and the prefix
# cache finds them again
RATES = (0.2, 0.33, 0.5, 1.0)


class CompressionError(RamifyError, ValueError):
    """A compression was asked for that cannot be."""


class Kept(NamedTuple):
    """Characters `start` to `stop` of the original that were kept; of the passage `number`, or
    of the text itself (0).
    """

    start: int
    stop: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A shortened text or shortened passages; `str()` is what goes into a prompt, or where vectors
    stand for them, `mixed`.

    Passages keep their numbers; those of which nothing is left are gone. Iterating and indexing
    go to `value`.
    """

    value: str | Passages | tuple[Mixed, ...]  # vectors: one for each passage, or for the text
    kept: tuple[Kept, ...]  # in the order of the original
    tokens_before: int  # of str(original), by the target model's own tokenizer
    tokens_after: int  # of str(value)
    target: int  # tokens that were allowed
    method: str
    note: str = ""  # what people should know: the target was missed, and why
    original: str | Passages | None = None  # what vectors stand for

    @property
    def met(self) -> bool:
        """Whether the target holds. It is missed only where no smaller piece can be kept."""
        return self.tokens_after <= self.target

    @property
    def rate(self) -> float:
        """Kept fraction of the tokens; 1.0 for an empty text."""
        return self.tokens_after / self.tokens_before if self.tokens_before else 1.0

    @property
    def passages(self) -> Passages:
        """The shortened passages, or those that vectors stand for. CompressionError where a text
        was compressed."""
        for found in (self.value, self.original):
            if isinstance(found, Passages):
                return found
        raise CompressionError("a text was compressed, so there are no passages.")

    @property
    def mixed(self) -> Mixed | None:
        """What a model reads where vectors stand for the text: a line for each passage."""
        return Mixed.joined(self.value, "\n") if isinstance(self.value, tuple) else None

    def __str__(self) -> str:
        return str(self.value if self.mixed is None else self.mixed)

    def __format__(self, spec: str) -> str:
        return format(str(self) if self.mixed is None else self.mixed, spec)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __getitem__(self, at: Any) -> Any:
        return self.value[at]

    def check(self, original: str | Passages) -> None:
        """Raise CompressionError where the value is not made of the kept pieces, in order. Vectors
        say nothing about pieces."""
        if isinstance(self.value, tuple):
            return
        if isinstance(original, str):
            pieces = [original[start:stop] for start, stop, _ in self.kept]
            same = str(self.value).split() == " ".join(pieces).split()
        else:
            numbers = list(dict.fromkeys(piece.number for piece in self.kept))
            same = list(self.passages.numbers) == numbers and all(
                passage.text == " ".join(self._pieces(original, passage.number))
                for passage in self.passages
            )
            self.passages.check()
        if not same or list(self.kept) != sorted(set(self.kept), key=_order(original)):
            raise CompressionError(f"{self.method}: the value is not made of the kept pieces.")

    def _pieces(self, original: Passages, number: int) -> list[str]:
        passage = original.numbered(number)
        assert passage is not None, "a compressor keeps the numbers"
        return [passage.text[start:stop] for start, stop, n in self.kept if n == number]


def _order(original: str | Passages) -> Callable[[Kept], tuple[int, int]]:
    numbers = [0] if isinstance(original, str) else list(original.numbers)
    return lambda piece: (numbers.index(piece.number), piece.start)


@runtime_checkable
class Compressor(Protocol):
    """Makes prompts shorter."""

    name: str
    # whether the question changes the result: such a result is shared by no two questions
    query_aware: bool
    # whether equal input gives equal output: only then may the planner merge, and results be kept
    deterministic: bool

    async def compress(
        self,
        source: str | Passages,
        *,
        question: str | None = None,
        rate: Rate | None = None,
        tokens: int | None = None,
        count: Count,
    ) -> Compressed:
        """Shorten to `rate` (kept fraction of tokens, over 0, at most 1), to at most `tokens`, or
        as far as the compressor itself finds right (rate="auto", and where neither is given).

        `count` counts tokens as the target model does, of any text, from any thread. Results are
        remembered by content and by `count`: pass the same or an equal object again (a function,
        a bound method), not a new lambda each time. Raises CompressionError.
        """
        ...


@runtime_checkable
class ForModel(Protocol):
    """A compressor whose results only one model can read."""

    def for_backend(self, backend: Any) -> Compressor:
        """The compressor for the model of a backend. Raises CompressionError where there is none,
        CapabilityError where the backend cannot read its results."""
        ...


def source_of(source: object) -> str | Passages:
    """What can be compressed: a text, Passages, a list of Passages or texts, or a compression
    (where that is vectors, what they stand for)."""
    if isinstance(source, Compressed):
        if isinstance(source.value, tuple):
            return source.original or ""
        return source.value
    if isinstance(source, (str, Passages)):
        return source
    if isinstance(source, Passage):
        return Passages([source]) if source.number else source.text
    if isinstance(source, (list, tuple)) and all(isinstance(i, (str, Passage)) for i in source):
        numbers = [item.number for item in source if isinstance(item, Passage)]
        numbered = len(numbers) == len(source) and all(numbers)
        return Passages(source) if numbered else Passages.of(source)
    raise CompressionError(
        f"a {type(source).__name__} cannot be compressed.",
        hint="Give a text, passages, or a list of texts.",
    )


def target_of(rate: Rate | None, tokens: int | None, before: int) -> int | None:
    """How many tokens of `before` may stay; None for "auto". Raises CompressionError."""
    if rate is not None and tokens is not None:
        raise CompressionError("rate and tokens were both given.", hint="Give one of them.")
    if tokens is not None:
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
            raise CompressionError(
                f"tokens={tokens!r} is not allowed.", hint="It must be an int from 1 up."
            )
        return tokens
    if rate is None or rate == "auto":
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1:
        raise CompressionError(
            f"rate={rate!r} is not allowed.",
            hint='It is the kept fraction: over 0, at most 1, or "auto".',
        )
    return int(rate * before)
