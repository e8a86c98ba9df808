"""vLLM's engine as a backend."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter
from typing import Any

from ramify.backend.answer import TokenAnswer, lead_of
from ramify.backend.chat import ChatFormat
from ramify.backend.collect import collect
from ramify.backend.contract import (
    Capabilities,
    Delta,
    Finish,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenPrompt,
    Usage,
)
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.leaders import Leaders
from ramify.backend.mirror import Mirror
from ramify.backend.render import Renderer
from ramify.backend.scoring import score_by_steps
from ramify.backend.vllm.engine import Started, start
from ramify.backend.vllm.kv_events import KVEvents
from ramify.backend.vllm.params import logprobs_of, sampling_params
from ramify.backend.vllm.refusals import is_refusal, refusal
from ramify.errors import BackendDiedError, BackendError, PromptTooLongError, Where
from ramify.ir.sampling import Sampling

_MOST_URGENT_S = 1e9  # beyond this all priorities are alike; the engine takes 64 bits
ABILITIES = Capabilities(
    prefix_cache=True,
    cached_token_counts=True,
    priorities=True,
    constraints=frozenset({"regex", "schema", "grammar", "choices"}),
    scores=True,
    prompt_logprobs=True,
    logprobs=True,
    samples=True,
)


class VLLMBackend:
    """A model on vLLM's `AsyncLLM` (see `Backend` for what the methods mean).

    Token ids go in and come out; texts, stop strings and end tokens are handled here, by the rules
    of the embedded engine. An answer that would grow beyond the context is cut there.
    """

    def __init__(self, started: Started) -> None:
        """Use `open`."""
        tokenizer = HFTokenizer.load(started.model)
        self.name = started.options.name or started.model.rstrip("/").rpartition("/")[2]
        self.started = started
        self.renderer = Renderer(tokenizer, ChatFormat.from_template(tokenizer))
        self.capabilities = replace(ABILITIES, priorities=started.priorities)
        self._vllm = importlib.import_module("vllm")
        self._numbers = itertools.count()
        self._closed = False
        self.events = KVEvents(started.block, started.cache_tokens) if started.events else None
        self._listener: asyncio.Task[None] | None = None
        mirror = self.events.mirror if self.events else Mirror(started.cache_tokens, started.block)
        self._leaders = Leaders(mirror, least=4 * started.block)

    @classmethod
    def open(cls, model: str, **options: Any) -> VLLMBackend:
        """Load a model from a folder, or by its name on the hub, and start an engine for it.

        The options are those of `VLLMOptions` and of `vllm.AsyncEngineArgs`. Raises what `start`
        raises.
        """
        return cls(start(model, **options))

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        lead = lead_of(self.renderer, request)
        ids = request.prompt.ids + lead
        room = self._room(ids, request.label)
        if not self.started.options.leader_first:
            async with aclosing(self._answer(request, ids, lead, room, request.stream)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        async with self._leaders.enter(ids, request.salt) as ticket:
            stream = request.stream or ticket.leads
            async with aclosing(self._answer(request, ids, lead, room, stream)) as deltas:
                async for delta in deltas:
                    ticket.first()
                    yield delta

    async def _answer(
        self, request: Request, ids: tuple[int, ...], lead: tuple[int, ...], room: int, deltas: bool
    ) -> AsyncGenerator[Delta]:
        begun = perf_counter()
        sampling = request.sampling
        params = self._params(request, room, deltas or bool(sampling.stop))
        answers = [
            TokenAnswer(self.renderer, request, index, lead) for index in range(request.samples)
        ]
        ended = [False] * request.samples
        cached, first = -1, 0.0
        outputs = self._outputs(ids, params, request.salt, request.priority, request.label)
        async with aclosing(outputs) as found:
            async for result in found:
                first = first or perf_counter() - begun
                if cached < 0:
                    cached = result.num_cached_tokens or 0
                for output in result.outputs:
                    index = output.index
                    if ended[index]:
                        continue
                    answer = answers[index]
                    rows = logprobs_of(output, sampling.logprobs)
                    delta = answer.push(output.token_ids, rows)
                    why: Finish = "length" if output.finish_reason == "length" else "stop"
                    if output.finish_reason is None and not answer.ended:
                        if delta is not None:
                            yield delta
                        continue
                    ended[index] = True
                    if delta is not None:
                        yield delta
                    known = cached if index == 0 else len(request.prompt)
                    known = min(known, len(request.prompt))
                    total = perf_counter() - begun
                    usage = Usage(len(request.prompt), known, answer.tokens, first, total)
                    yield answer.finish(why, usage)
                if all(ended):
                    return  # leaving early aborts what still runs
        raise BackendDiedError(
            f"{self.name!r} ended an answer in the middle.", where=Where(node=request.label)
        )

    def _params(self, request: Request, room: int, deltas: bool) -> Any:
        try:
            return sampling_params(
                self._vllm,
                self.renderer,
                request,
                room=room,
                deltas=deltas,
                stream=request.stream,
            )
        except Exception as error:
            if is_refusal(error):
                raise refusal(error, request.label) from error
            raise

    async def _outputs(
        self, ids: Sequence[int], params: Any, salt: str, priority: float, label: str
    ) -> AsyncGenerator[Any]:
        """The engine's outputs, with its errors named."""
        self._check_open()
        if self.events is not None and self._listener is None:
            self._listener = asyncio.create_task(self.events.listen(self.started.events))
        prompt = self._vllm.TokensPrompt(prompt_token_ids=list(ids))
        if salt:
            prompt["cache_salt"] = salt
        urgent = -math.ceil(min(priority, _MOST_URGENT_S) * 1000) if self.started.priorities else 0
        number = f"{label or 'request'}-{next(self._numbers)}"
        try:
            run = self.started.engine.generate(prompt, params, number, priority=urgent)
            async with aclosing(run) as outputs:
                async for output in outputs:
                    yield output
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            if is_refusal(error):
                raise refusal(error, label) from error
            if type(error).__module__.startswith("vllm"):
                raise BackendDiedError(
                    f"the engine of {self.name!r} failed ({type(error).__name__}: {error}).",
                    where=Where(node=label),
                ) from error
            raise

    async def score(self, request: ScoreRequest) -> Scores:
        begun = perf_counter()
        longest = max(map(len, request.continuations), default=0)
        self._room(request.prompt.ids + (0,) * max(0, longest - 1), request.label)
        for ids in request.continuations:
            self._check_ids(ids, request.label)

        async def ask(
            ids: tuple[int, ...], tokens: Sequence[int]
        ) -> tuple[dict[int, float], Usage]:
            params = self._vllm.SamplingParams(
                temperature=0, max_tokens=1, detokenize=False, logprob_token_ids=list(tokens)
            )
            outputs = self._outputs(ids, params, request.salt, request.priority, request.label)
            async with aclosing(outputs) as results:
                async for result in results:
                    row = result.outputs[0].logprobs[0]
                    known = {token: float(row[token].logprob) for token in tokens}
                    cached = min(result.num_cached_tokens or 0, len(ids))
                    return known, Usage(len(ids), cached)
            raise BackendDiedError(f"{self.name!r} did not score.", where=Where(node=request.label))

        scores = await score_by_steps(request, ask, lambda: perf_counter() - begun)
        if request.prompt_from is None:
            return scores
        prompt, spent = await self._prompt_logprobs(request)
        return replace(scores, prompt=prompt, usage=scores.usage + spent)

    async def _prompt_logprobs(self, request: ScoreRequest) -> tuple[tuple[float, ...], Usage]:
        """Of the prompt's own tokens from `prompt_from` on; vLLM computes the whole prompt anew."""
        ids, start = request.prompt.ids, request.prompt_from or 1
        params = self._vllm.SamplingParams(
            temperature=0, max_tokens=1, detokenize=False, prompt_logprobs=0
        )
        outputs = self._outputs(ids, params, request.salt, request.priority, request.label)
        async with aclosing(outputs) as results:
            async for result in results:
                rows = result.prompt_logprobs[start:]
                found = tuple(
                    float(row[token].logprob) for row, token in zip(rows, ids[start:], strict=True)
                )
                return found, Usage(len(ids), result.num_cached_tokens or 0)
        raise BackendDiedError(f"{self.name!r} did not score.", where=Where(node=request.label))

    async def prefill(self, prompt: TokenPrompt, *, salt: str = "") -> Usage:
        request = Request(
            prompt=prompt, sampling=Sampling(max_tokens=1), salt=salt, label="warm", stream=False
        )
        used = (await collect(self.generate(request))).usage
        return Usage(used.prompt_tokens, used.cached_tokens, 0, used.first_token_s, used.total_s)

    def profile(self) -> Profile:
        return Profile(
            name=self.name, context=self.started.context, max_batch=self.started.max_batch
        )

    @property
    def cache_tokens(self) -> int:
        """The size of the engine's prefix cache."""
        return self.started.cache_tokens

    @property
    def cache_block(self) -> int:
        """Tokens of a block of the prefix cache."""
        return self.started.block

    async def clear_cache(self) -> None:
        """Empty the engine's prefix cache."""
        self._check_open()
        await self.started.engine.reset_prefix_cache()
        self._leaders.mirror.clear()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        self.started.hush()
        await asyncio.to_thread(self.started.stop)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendDiedError(f"the backend {self.name!r} is closed.")

    def _room(self, ids: tuple[int, ...], label: str) -> int:
        """Tokens that fit behind a prompt. Raises PromptTooLongError where there is none."""
        if not ids:
            raise BackendError("the prompt is empty.", where=Where(node=label))
        self._check_ids(ids, label)
        if len(ids) >= self.started.context:
            raise PromptTooLongError(
                f"the prompt has {len(ids)} tokens, and {self.name!r} has a context of "
                f"{self.started.context}.",
                hint="Shorten the prompt (rf.compress).",
                where=Where(node=label),
            )
        return self.started.context - len(ids)

    def _check_ids(self, ids: tuple[int, ...], label: str) -> None:
        if ids and not (min(ids) >= 0 and max(ids) < self.started.vocab):
            wrong = min(ids) if min(ids) < 0 else max(ids)
            raise BackendError(
                f"token {wrong} does not exist: {self.name!r} has the tokens 0 to "
                f"{self.started.vocab - 1}.",
                hint="Render prompts with the backend's own renderer.",
                where=Where(node=label),
            )
