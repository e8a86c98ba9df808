"""What an engine elsewhere has in its prefix cache, as far as one can know from outside.

Prompts are cut into blocks, and a block is named by a hash of its tokens and of the block before
it (the scheme of vLLM's own cache). Names may collide; a mirror only ever decides who waits or
where a request goes, never what is computed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

BLOCK = 16  # tokens


def block_names(ids: Sequence[int], salt: str = "", block: int = BLOCK) -> list[int]:
    """The names of the whole blocks of a prompt, in order."""
    name = hash(salt)
    names = []
    for at in range(0, len(ids) - block + 1, block):
        name = hash((name, tuple(ids[at : at + block])))
        names.append(name)
    return names


class Mirror:
    """The blocks of a cache, least recently used out first beyond `capacity` tokens."""

    def __init__(self, capacity: int = 1_000_000, block: int = BLOCK) -> None:
        self.block = block
        self._limit = max(1, capacity // block)
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, name: int) -> bool:
        return name in self._blocks

    def names(self, ids: Sequence[int], salt: str = "") -> list[int]:
        """The names of the whole blocks of a prompt."""
        return block_names(ids, salt, self.block)

    def known(self, names: Sequence[int]) -> int:
        """How many blocks at the front are in the cache."""
        for count, name in enumerate(names):
            if name not in self._blocks:
                return count
        return len(names)

    def add(self, names: Iterable[int]) -> None:
        """Blocks were computed, or read. Later blocks of a prompt leave the cache first."""
        fresh = list(names)
        for name in reversed(fresh):
            self._blocks[name] = None
            self._blocks.move_to_end(name)
        while len(self._blocks) > self._limit:
            self._blocks.popitem(last=False)

    def drop(self, names: Iterable[int]) -> None:
        """Blocks are no longer there."""
        for name in names:
            self._blocks.pop(name, None)

    def clear(self) -> None:
        """The cache is empty."""
        self._blocks.clear()

    def check(self) -> None:
        """Raise AssertionError where the bound is broken."""
        assert len(self._blocks) <= self._limit
