"""What rows need of the prefix caches of their backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ramify.backend.contract import Backend
from ramify.ir import Graph
from ramify.planner import footprint, shared_with_before
from ramify.planner.heads import heads
from ramify.runtime.batch.room import Need, Room

_SAMPLE = 20_000  # characters, of which the tokens are counted


class Needs:
    """The rooms of a batch, one for each backend that says how much its cache holds.

    Texts are sized by their characters, and how many of these make a token is counted once.
    """

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self.rooms: dict[str, Room] = {}
        self._backends = backends
        self._rates: dict[str, float] = {}  # tokens a character, by model
        for model, backend in backends.items():
            tokens: int = getattr(backend, "cache_tokens", 0)
            if tokens > 0:
                self.rooms[model] = Room(tokens)

    def of(self, graphs: Sequence[Graph]) -> list[dict[str, Need]]:
        """By model what rows need that run one after the other."""
        found: list[dict[str, Need]] = [{} for _ in graphs]
        if not self.rooms or not graphs:
            return found
        alike = shared_with_before(graphs)
        for model in self.rooms:
            rate = self._rate(model, graphs[0])
            backend = self._backends[model]
            block: int = getattr(backend, "cache_block", 1)
            profile = backend.profile()

            def count(text: str, rate: float = rate) -> int:
                return round(len(text) * rate)

            for need, graph, characters in zip(found, graphs, alike, strict=True):
                holds = footprint(graph, count, profile, block=block, model=model)
                common = round(characters * rate) // block * block
                need[model] = Need(holds.mean, holds.peak, min(common, holds.mean))
        return found

    def fit(self, needs: Sequence[Mapping[str, Need]]) -> bool:
        """Whether all these rows fit at once, so that nothing depends on their order."""
        for model, room in self.rooms.items():
            given = [need[model] for need in needs if model in need]
            if room.used + sum(need.peak - need.shared for need in given) > room.tokens:
                return False
        return True

    @property
    def tight(self) -> bool:
        """Whether memory decides how many rows are open: a row had to wait, or nobody knows how
        much a cache holds."""
        return not self.rooms or any(room.was_full for room in self.rooms.values())

    async def enter(self, number: int, need: Mapping[str, Need]) -> None:
        """Wait until a row fits everywhere."""
        for model, one in need.items():
            await self.rooms[model].enter(number, one)

    def leave(self, number: int, need: Mapping[str, Need]) -> None:
        """A row has ended."""
        for model in need:
            self.rooms[model].leave(number)

    def _rate(self, model: str, graph: Graph) -> float:
        rate = self._rates.get(model)
        if rate is None:
            parts = [item for head in heads(graph) for item in head if item[:1] != "\0"]
            text = "".join(parts)[:_SAMPLE]
            tokens = self._backends[model].renderer.count_text(text) if text else 0
            rate = self._rates[model] = tokens / len(text) if tokens else 0.25
        return rate
