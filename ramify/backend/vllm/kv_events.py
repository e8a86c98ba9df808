"""A mirror of the engine's prefix cache, fed by the engine's own events."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ramify.backend.mirror import Mirror

_LINGER_MS = 0


class KVEvents:
    """Reads BlockStored, BlockRemoved and AllBlocksCleared, and keeps a mirror up to date.

    The engine names blocks by hashes of its own; `mirror` names them by `block_names`.
    """

    def __init__(self, block: int, capacity: int) -> None:
        self.mirror = Mirror(capacity, block)
        self.seen = 0  # events
        self._names: dict[Any, int] = {}  # engine's hash -> our name

    def take(self, event: dict[str, Any]) -> None:
        """Apply one event."""
        self.seen += 1
        kind = event.get("type")
        if kind == "BlockStored":
            self._store(event)
        elif kind == "BlockRemoved":
            gone = [self._names.pop(hash_, None) for hash_ in event["block_hashes"]]
            self.mirror.drop(name for name in gone if name is not None)
        elif kind == "AllBlocksCleared":
            self._names.clear()
            self.mirror.clear()

    def _store(self, event: dict[str, Any]) -> None:
        if event["block_size"] != self.mirror.block:
            return  # of another cache group
        parent = event.get("parent_block_hash")
        if parent is None:
            name = hash(_salt(event.get("extra_keys")))
        elif parent in self._names:
            name = self._names[parent]
        else:
            return  # stored before we listened
        ids, size = event["token_ids"], self.mirror.block
        for number, hash_ in enumerate(event["block_hashes"]):
            name = hash((name, tuple(ids[number * size : (number + 1) * size])))
            self._names[hash_] = name
            self.mirror.add([name])

    async def listen(self, address: str) -> None:
        """Take in what is published at an address, until cancelled."""
        zmq = importlib.import_module("zmq")
        asyncio_ = importlib.import_module("zmq.asyncio")
        msgspec = importlib.import_module("msgspec")
        socket = asyncio_.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        try:
            while True:
                parts = await socket.recv_multipart()
                batch = msgspec.msgpack.decode(parts[-1])
                for event in batch[1]:
                    self.take(event)
        finally:
            socket.close()


def _salt(extra_keys: Sequence[Sequence[Any] | None] | None) -> str:
    """The salt of a prompt, which the engine mixes into its first block."""
    first = extra_keys[0] if extra_keys else None
    return next((key for key in first or () if isinstance(key, str)), "")
