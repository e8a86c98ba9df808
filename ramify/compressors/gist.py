"""The compressor: passages as vectors, their numbers as text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramify.compressors.contract import (
    Compressed,
    CompressionError,
    Compressor,
    Count,
    Kept,
    Rate,
    target_of,
)
from ramify.compressors.pieces import whole
from ramify.compressors.remembering import RememberingCompressor
from ramify.compressors.segments import segments
from ramify.errors import CapabilityError
from ramify.ir.vectors import Mixed
from ramify.retrieval.contract import Passages

if TYPE_CHECKING:
    from ramify.backend.radix.gist.encoder import Encoder


class Gist(RememberingCompressor):
    """Says each passage in a few vectors that the model reads in the place of its tokens.

    Needs a head trained for this very model (docs/gist.md). Of the head's ratios the mildest that
    meets the target is taken; where none does, the strongest, and `met` and `note` say so.
    rate="auto" takes the ratio that the head names. A target that the text meets as it is leaves
    it as text. Needs no question, so that equal passages share their KV whatever is asked.
    """

    name = "gist"
    query_aware = False

    def __init__(self, folder: str | Path | None = None, head: str | Path | None = None) -> None:
        """`folder`: of the model; by default that of the backend that counts the tokens. `head`:
        its file; by default gist/head.safetensors in the model's folder."""
        super().__init__()
        self._folder = Path(folder).expanduser() if folder is not None else None
        self._head = Path(head).expanduser() if head is not None else None
        self._made: dict[Path, Gist] = {}

    def for_backend(self, backend: Any) -> Compressor:
        """See `ForModel`. One that was made for a folder is that of any backend: whether it can
        read the vectors is checked where they are read."""
        if self._folder is not None:
            return self
        if not backend.capabilities.embeddings_in:
            raise CapabilityError(
                f"method='gist' makes vectors, and backend {backend.name!r} takes tokens only (it "
                "lacks embeddings_in).",
                hint="The embedded engine ('radix:PATH') has it.",
            )
        folder: Path | None = getattr(backend, "model_folder", None)
        if folder is None:
            raise CompressionError(
                f"backend {backend.name!r} does not say which folder its model is in.",
                hint='Say it: method=Gist("PATH"), from ramify.compressors.',
            )
        if folder not in self._made:
            self._made[folder] = Gist(folder, self._head)
        return self._made[folder]

    async def _compress(
        self,
        source: str | Passages,
        question: str,
        rate: Rate | None,
        tokens: int | None,
        count: Count,
    ) -> Compressed:
        return await asyncio.to_thread(self._now, source, rate, tokens, count)

    def _now(
        self, source: str | Passages, rate: Rate | None, tokens: int | None, count: Count
    ) -> Compressed:
        if self._folder is None:
            raise CompressionError(
                "gist does not know its model outside of a run.",
                hint='Say its folder: Gist("PATH").',
            )
        before = count(str(source))
        target = target_of(rate, tokens, before)
        if not str(source).strip() or (target is not None and target >= before):
            return whole(source, before, before if target is None else target, self.name)
        from ramify.backend.radix.gist.encoder import encoder_of
        from ramify.backend.radix.gist.head import PLACE

        encoder = encoder_of(self._folder, self._head or self._folder / PLACE)
        work = _Work(source, encoder, count)
        ratio, after = work.choose(target)
        allowed = after if target is None else target
        missed = f"; no ratio of the head's meets {allowed} tokens" if after > allowed else ""
        return Compressed(
            value=work.value(ratio),
            kept=work.kept,
            tokens_before=before,
            tokens_after=after,
            target=allowed,
            method=self.name,
            original=source,
            note=f"{ratio:g} tokens per vector{missed}",
        )


class _Work:
    """One source: its texts, with what stands before each."""

    def __init__(self, source: str | Passages, encoder: Encoder, count: Count) -> None:
        if isinstance(source, str):
            self._lines = [("", source)]
            self.kept: tuple[Kept, ...] = (Kept(0, len(source)),)
        else:
            self._lines = [(f"[{p.number}]", p.text) for p in source if p.text.strip()]
            self.kept = tuple(Kept(0, len(p.text), p.number) for p in source if p.text.strip())
        self._encoder = encoder
        heads = "\n".join(head for head, _ in self._lines)
        self._fixed = count(heads) if heads else 0
        self._parts = [
            tuple(map(tuple, segments(text, encoder.tokenizer.encode, encoder.shape.reach)))
            for _, text in self._lines
        ]

    def choose(self, target: int | None) -> tuple[float, int]:
        """The ratio, and how many tokens and vectors that makes."""
        facts = self._encoder.facts
        if target is None:
            return facts.auto, self._after(facts.auto)
        fits = [ratio for ratio in facts.ratios if self._after(ratio) <= target]
        ratio = fits[0] if fits else facts.ratios[-1]
        return ratio, self._after(ratio)

    def value(self, ratio: float) -> tuple[Mixed, ...]:
        """A number and its passage's vectors, or the text's vectors."""
        return tuple(
            Mixed(((head,) if head else ()) + (self._encoder(parts, ratio),))
            for (head, _), parts in zip(self._lines, self._parts, strict=True)
        )

    def _after(self, ratio: float) -> int:
        from ramify.backend.radix.gist.shares import share

        slots = self._encoder.shape.slots
        sizes = [len(part) for parts in self._parts for part in parts]
        return self._fixed + sum(share(size, ratio, slots) for size in sizes)
