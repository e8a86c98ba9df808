"""What compressors share: requests are checked, and equal ones are answered from memory."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ramify.compressors.contract import Compressed, Count, Rate, source_of, target_of
from ramify.compressors.memo import Memo, key_of
from ramify.retrieval.contract import Passages


class RememberingCompressor(ABC):
    """A deterministic `Compressor`: a subclass says how, in `_compress`."""

    name: str
    query_aware: bool
    deterministic: bool = True

    def __init__(self) -> None:
        self._memo = Memo()

    async def compress(
        self,
        source: str | Passages,
        *,
        question: str | None = None,
        rate: Rate | None = None,
        tokens: int | None = None,
        count: Count,
    ) -> Compressed:
        """See `Compressor.compress`; the question is read where `query_aware`."""
        plain = source_of(source)
        asked = str(question).strip() if self.query_aware and question is not None else ""
        target_of(rate, tokens, 0)  # what cannot be is refused before any work
        key = key_of(plain, asked, rate, tokens, count)
        made = self._memo.get(key)
        if made is None:
            made = await self._compress(plain, asked, rate, tokens, count)
            self._memo.put(key, made)
        return made

    @abstractmethod
    async def _compress(
        self,
        source: str | Passages,
        question: str,
        rate: Rate | None,
        tokens: int | None,
        count: Count,
    ) -> Compressed:
        """Shorten; `question` is stripped, and empty where there is none."""
