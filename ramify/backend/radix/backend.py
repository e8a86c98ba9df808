"""The embedded engine as a backend."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ramify.backend.chat import ChatFormat
from ramify.backend.contract import (
    Capabilities,
    Delta,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix import saved
from ramify.backend.radix.grammar import GrammarCompiler
from ramify.backend.radix.jobs import Generation, Job, Scoring, Warming, token_array
from ramify.backend.radix.metrics import Snapshot
from ramify.backend.radix.options import RadixOptions
from ramify.backend.radix.sampler import Matcher
from ramify.backend.radix.setup import Parts, assemble
from ramify.backend.radix.vectors import VectorKeys, check_vectors
from ramify.backend.radix.worker import Channel, Worker
from ramify.backend.render import Renderer
from ramify.backend.stream import TextStream
from ramify.errors import BackendError, PoolTooSmallError, PromptTooLongError, Where

ABILITIES = Capabilities(
    prefix_cache=True,
    cached_token_counts=True,
    priorities=True,
    constraints=frozenset({"regex", "schema", "grammar", "choices"}),
    scores=True,
    prompt_logprobs=True,
    logprobs=True,
    parallel_blocks=True,
    token_bans=True,
    fork_on_token=True,
    promises=True,
)


def _abilities(parts: Parts) -> Capabilities:
    blocks, vectors = not parts.no_blocks, parts.vector_width > 0
    lacks = [("parallel_blocks", parts.no_blocks)] if not blocks else []
    if not vectors:
        lacks.append(("embeddings_in", "its layers look tokens up again"))
    return replace(ABILITIES, parallel_blocks=blocks, embeddings_in=vectors, lacks=tuple(lacks))


class RadixBackend:
    """A causal language model of transformers over a radix tree of KV (see `Backend` for what the
    methods mean).

    An answer that would grow beyond the context is cut there and finishes with "length"; a prompt
    that leaves no room for a single token is refused.
    """

    def __init__(self, parts: Parts, options: RadixOptions, tokenizer: HFTokenizer) -> None:
        """Use `open`."""
        self.name = parts.name
        self.capabilities = _abilities(parts)
        self.renderer = Renderer(tokenizer, ChatFormat.from_template(tokenizer))
        self.context = parts.context
        self.slots = parts.slots
        self.weight_bytes = parts.weight_bytes
        self._vocab = parts.engine.model.body.vocab
        self._vector_width = parts.vector_width
        self._vector_keys = VectorKeys()
        self._profile = parts.profile
        self._options = options
        self._tokenizer = tokenizer
        self._grammars = GrammarCompiler(tokenizer, self.renderer.end_ids)
        self._device = parts.engine.model.device
        self._demand = parts.engine.scheduler.cache.demand
        self._seeds = itertools.count(options.seed * 1_000_003 + 1)
        self._identity, self.model_folder = parts.identity, parts.folder
        self._worker = Worker(parts.engine, self.name, parts.prepare)
        self._finalizer = weakref.finalize(self, _stop, self._worker)

    @classmethod
    def open(cls, path: str | Path, **options: Any) -> RadixBackend:
        """Load a model from a folder, or by its name on the hub, and start its engine.

        The options are those of `RadixOptions`. Raises ModelLoadError where the folder cannot be
        used, BackendError for a wrong option.
        """
        wanted = RadixOptions.of(**options)
        parts = assemble(path, wanted)
        return cls(parts, wanted, HFTokenizer.load(parts.folder))

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        request = replace(request, prompt=self._readable(request.prompt))
        prompt, sampling = request.prompt, request.sampling
        room = self._room(prompt, len(prompt), request.label)
        self._check_pool(len(prompt) + min(room, sampling.max_tokens), request.label)
        if request.fork is not None:
            self._check_ids((request.fork.fork, request.fork.child), request.label)
        tail = self.renderer.answer_tail(prompt)
        matcher: Matcher | None = None
        if request.constraint is not None:
            matcher = await asyncio.to_thread(self._grammars.matcher, request.constraint, tail)
        text = TextStream(self._tokenizer, sampling.stop, tail, min_tokens=sampling.min_tokens)
        channel = Channel(self._worker)
        job = Generation(
            replace(request, prompt=self._vector_keys.keyed(prompt)), channel.sink, text,
            room=room, end_ids=self.renderer.end_ids,
            matcher=matcher, vocabulary=self._tokenizer.vocab_size,
            seed=next(self._seeds) if sampling.seed is None else sampling.seed,
        )  # fmt: skip
        self._check_blocks(job, prompt)
        self._worker.submit(job, channel)
        begun: set[tuple[int, ...]] = {()}
        ended = 0
        try:
            while ended < len(begun):
                delta = await channel.get()
                assert isinstance(delta, Delta)
                begun.add(delta.branch.path)
                ended += delta.finish is not None
                yield delta
        finally:
            if ended < len(begun):
                self._worker.cancel(job)

    async def score(self, request: ScoreRequest) -> Scores:
        request = replace(request, prompt=self._readable(request.prompt))
        longest = max(map(len, request.continuations), default=0)
        length = len(request.prompt) + longest
        for ids in request.continuations:
            self._check_ids(ids, request.label)
        self._room(request.prompt, length - 1, request.label)
        self._check_pool(length, request.label)
        channel = Channel(self._worker)
        keyed = replace(request, prompt=self._vector_keys.keyed(request.prompt))
        job = Scoring(keyed, channel.sink)
        self._check_blocks(job, request.prompt)
        found = await self._result(job, channel)
        assert isinstance(found, Scores)
        return found

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        self._room(prompt, len(prompt), "")
        self._check_pool(len(prompt), "")
        channel = Channel(self._worker)
        job = Warming(self._vector_keys.keyed(self._readable(prompt)), salt, 0.0, channel.sink)
        self._check_blocks(job, prompt)
        found = await self._result(job, channel)
        assert isinstance(found, Usage)
        return found

    async def save(self, prompt: TokenPrompt, path: str | Path, *, salt: str = "") -> Usage:
        """Write the KV of a prompt to a file, computing what is not known of it. `load` reads it
        in a later process, which then starts warm. Only text can be saved, no blocks or vectors.

        Raises BackendError where the prompt cannot be saved or the file not be written.
        """
        if prompt.blocks or prompt.vectors:
            raise BackendError("only text can be saved: this prompt has blocks or vectors.")
        self._check_keeps()
        usage = await self.prefill(prompt, salt=salt)
        tokens = token_array(prompt.ids)
        read = self._worker.call(lambda engine: saved.kept(engine, salt, tokens))
        layers = await asyncio.wrap_future(read)
        if layers is None:
            raise BackendError(
                f"the pool of {self.name!r} is too busy to keep {len(tokens)} tokens.",
                hint="Save while fewer requests run, or open it with a larger pool_tokens.",
            )
        await asyncio.to_thread(saved.write, Path(path), tokens, layers, self._identity)
        return usage

    async def load(self, path: str | Path, *, salt: str = "") -> TokenPrompt:
        """Read what `save` wrote into the cache; returns the prompt that is warm now.

        Raises BackendError for a file that is not whole or was made with another model, dtype or
        format, PoolTooSmallError where it has no room.
        """
        self._check_keeps()
        tokens, layers = await asyncio.to_thread(saved.read, Path(path), self._identity)
        self._check_pool(len(tokens), "")
        fill = self._worker.call(lambda engine: saved.adopt(engine, salt, tokens, layers))
        if not await asyncio.wrap_future(fill):
            raise PoolTooSmallError(
                f"{len(tokens)} saved tokens find no room now among the {self.slots} slots of "
                f"{self.name!r}.",
                hint="Load them before other requests run, or open it with a larger pool_tokens.",
            )
        return TokenPrompt(tuple(tokens.tolist()))

    def profile(self) -> Profile:
        return self._profile

    async def calibrate(self) -> Profile:
        """Measure the numbers of the profile, and once per machine which dtype is faster on it, as
        `dtype="auto"` asks when a model is opened next; takes seconds; requests wait meanwhile."""
        from ramify.backend.radix.calibration import measure
        from ramify.backend.radix.dtypes import calibrate

        numbers = await asyncio.wrap_future(self._worker.call(measure))
        self._profile = self._profile.with_measured(**numbers)
        options, device = self._options, self._device
        await asyncio.wrap_future(
            self._worker.call(
                lambda _: calibrate(device, native=options.native, fused=options.fused)
            )
        )
        return self._profile

    async def snapshot(self) -> Snapshot:
        """The state of the engine between two steps."""
        return await asyncio.wrap_future(self._worker.call(lambda engine: engine.snapshot()))

    async def clear_cache(self) -> int:
        """Drop all KV that no request uses now, in the host tier too; returns the tokens."""
        clear = self._worker.call(lambda engine: engine.scheduler.cache.clear())
        return await asyncio.wrap_future(clear)

    async def close(self) -> None:
        self._worker.close()
        while self._worker.alive:  # no executor: at the interpreter's exit there is none any more
            await asyncio.sleep(0.01)

    async def _result(self, job: Job, channel: Channel) -> Delta | Scores | Usage:
        self._worker.submit(job, channel)
        done = False
        try:
            found = await channel.get()
            done = True
            return found
        finally:
            if not done:
                self._worker.cancel(job)

    def _room(self, prompt: TokenPrompt, length: int, label: str) -> int:
        """Tokens that fit behind `length` tokens which begin with a prompt.

        Raises PromptTooLongError where there is none, BackendError for tokens that do not exist.
        """
        if not prompt.ids:
            raise BackendError("the prompt is empty.", where=Where(node=label))
        self._check_ids(prompt.ids, label)
        check_vectors(prompt, self._vector_width, self._identity.model, self.name, label)
        if length >= self.context:
            raise PromptTooLongError(
                f"the prompt has {length} tokens, and {self.name!r} has a context of "
                f"{self.context}.",
                hint="Shorten the prompt (rf.compress).",
                where=Where(node=label),
            )
        return self.context - length

    def _check_ids(self, ids: tuple[int, ...], label: str) -> None:
        if ids and not (min(ids) >= 0 and max(ids) < self._vocab):
            raise BackendError(
                f"token {min(ids) if min(ids) < 0 else max(ids)} does not exist: {self.name!r} has "
                f"the tokens 0 to {self._vocab - 1}.",
                hint="Render prompts with the backend's own renderer.",
                where=Where(node=label),
            )

    def _readable(self, prompt: TokenPrompt) -> TokenPrompt:
        """The prompt, in order where the model cannot read blocks."""
        return prompt if self.capabilities.parallel_blocks else replace(prompt, blocks=())

    def _check_blocks(self, job: Job, prompt: TokenPrompt) -> None:
        """Repaired blocks and the branches beside them take slots twice."""
        if prompt.blocks:
            sequences = (*job.live, *job.later)
            self._check_pool(max(map(self._demand, sequences), default=0), job.label)

    def _check_keeps(self) -> None:
        if not self._options.cache:
            raise BackendError(f"{self.name!r} was opened with cache=False: it keeps nothing.")

    def _check_pool(self, tokens: int, label: str) -> None:
        if tokens > self.slots:
            raise PoolTooSmallError(
                f"the request needs {tokens} KV slots, and the whole pool of {self.name!r} has "
                f"{self.slots}.",
                hint="Shorten the prompt, lower max_tokens, or open the backend with a larger "
                "pool_tokens.",
                where=Where(node=label),
            )


def _stop(worker: Worker) -> None:
    """When nobody holds the backend any more, or at the interpreter's end."""
    worker.close()
    worker.join()
