"""The other end of `remote`: a peer in its own environment, asked line by line in JSON.

Standard library only. What a library prints goes to standard error; standard output is the
answers' alone.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from abc import ABC, abstractmethod
from typing import Any

from benchmarks.peers.workloads import BY_NAME, Prompts


class Peer(ABC):
    """An engine with one model, at settings that may change between runs."""

    vocab: int
    version: str

    def use(self, **settings: Any) -> None:  # noqa: B027
        """Change settings; not timed."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all KV; not timed."""

    @abstractmethod
    def generate(self, prompts: Prompts, count: int) -> Prompts:
        """Greedy, past any end token."""


def serve(make: Any) -> None:
    """Build the peer from the command line's JSON, then answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    peer: Peer = make(**json.loads(sys.argv[1]))
    answer(version=peer.version)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            peer.use(**request["settings"])
            peer.reset()
            gc.collect()
            answer(ready=True)
        else:
            found = BY_NAME[request["workload"]].run(peer.generate, peer.vocab)
            answer(tokens=sum(map(len, found)))
