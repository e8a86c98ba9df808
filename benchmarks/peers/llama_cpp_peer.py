"""llama.cpp by its low-level interface: batches over a unified cache, forks without copying.

Its own server forks nothing that is running, so the forks are made here as its authors made them
possible: `llama_memory_seq_cp` gives cells of one sequence to another. What a stage's prompts
share with each other or with an earlier sequence is never computed again. Runs in
`.venv-peers-llama`.
"""

from __future__ import annotations

import ctypes
from importlib.metadata import version
from pathlib import Path

import llama_cpp as ll
import numpy as np

from benchmarks.peers.gguf_model import convert
from benchmarks.peers.serve import Peer, serve
from benchmarks.peers.workloads import Prompts, beginning, common

SEQUENCES = 200


class LlamaCpp(Peer):
    """`use(ubatch=, flash=)`: rows computed at a time, flash attention (1) or not (0)."""

    def __init__(self, folder: str, vocab: int, context: int, threads: int) -> None:
        self.vocab = vocab
        self.version = version("llama-cpp-python")
        self._cells, self._threads = 2 * context, threads
        self._log = ll.llama_log_callback(lambda *_: None)
        ll.llama_log_set(self._log, ctypes.c_void_p())
        ll.llama_backend_init()
        path = str(convert(Path(folder))).encode()
        self._model = ll.llama_model_load_from_file(path, ll.llama_model_default_params())
        if not self._model:
            raise RuntimeError("llama.cpp cannot load the model")
        self._context = None
        self._settings: dict[str, int] = {}
        self._live: dict[int, list[int]] = {}  # sequences and the tokens of their cells

    def use(self, **settings: int) -> None:
        if settings == self._settings:
            return
        if self._context is not None:
            ll.llama_batch_free(self._batch)
            ll.llama_free(self._context)
        params = ll.llama_context_default_params()
        params.n_ctx = self._cells
        params.n_batch = self._rows = 2048
        params.n_ubatch = settings["ubatch"]
        params.n_seq_max = SEQUENCES
        params.n_threads = params.n_threads_batch = self._threads
        params.flash_attn_type = settings["flash"]
        params.kv_unified = True
        params.no_perf = True
        self._context = ll.llama_init_from_model(self._model, params)
        if not self._context:
            raise RuntimeError("llama.cpp cannot make a context")
        self._memory = ll.llama_get_memory(self._context)
        self._batch = ll.llama_batch_init(self._rows, 0, 1)
        self._settings = settings

    def reset(self) -> None:
        ll.llama_memory_clear(self._memory, True)
        self._live = {}

    def generate(self, prompts: Prompts, count: int) -> Prompts:
        start = beginning(prompts)
        if len(prompts) > 1 and start:
            self._leader(start)
        sequences = [self._fork(ids) for ids in prompts]
        rows = [
            (ids[i], i, sequence, i == len(ids) - 1)
            for ids, (sequence, known) in zip(prompts, sequences, strict=True)
            for i in range(known, len(ids))
        ]
        best = self._decode(rows)
        answers = [[token] for token in best]
        names = [sequence for sequence, _ in sequences]
        for step in range(count - 1):
            best = self._decode(
                [
                    (token, len(ids) + step, name, True)
                    for token, ids, name in zip(best, prompts, names, strict=True)
                ]
            )
            for answer, token in zip(answers, best, strict=True):
                answer.append(token)
        for name, ids, answer in zip(names, prompts, answers, strict=True):
            self._live[name] = [*ids, *answer[:-1]]
        return answers

    def _leader(self, start: list[int]) -> None:
        """Compute what all prompts begin with, unless an earlier sequence has it."""
        if any(held[: len(start)] == start for held in self._live.values()):
            return
        sequence, known = self._fork(start)
        self._decode([(start[i], i, sequence, False) for i in range(known, len(start))])
        self._live[sequence] = start

    def _fork(self, ids: list[int]) -> tuple[int, int]:
        """A new sequence with the cells of the one that has most of these ids but the last."""
        name, best, known = len(self._live), -1, 0
        while name in self._live:
            name += 1
        for other, held in self._live.items():
            if held[: known + 1] == ids[: known + 1]:
                found = common(held, ids[:-1])
                if found > known:
                    best, known = other, found
        if known:
            ll.llama_memory_seq_cp(self._memory, best, name, 0, known)
        self._live[name] = ids[:known]
        return name, known

    def _decode(self, rows: list[tuple[int, int, int, bool]]) -> list[int]:
        """Rows of (token, position, sequence, wanted): the best next token of those wanted."""
        best: list[int] = []
        for first in range(0, len(rows), self._rows):
            part = rows[first : first + self._rows]
            batch = self._batch
            batch.n_tokens = len(part)
            for i, (token, position, sequence, wanted) in enumerate(part):
                batch.token[i] = token
                batch.pos[i] = position
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = sequence
                batch.logits[i] = wanted
            status = ll.llama_decode(self._context, batch)
            if status:
                raise RuntimeError(f"llama_decode returned {status}")
            count = sum(row[3] for row in part)
            if count:
                logits = ll.llama_get_logits(self._context)
                best += np.ctypeslib.as_array(logits, (count, self.vocab)).argmax(1).tolist()
        return best


if __name__ == "__main__":
    serve(LlamaCpp)
