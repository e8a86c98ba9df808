"""The backend as the runtime sees it: streams, faults, cancellation, closing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ramify.backend.collect import collect
from ramify.backend.contract import Backend, Request, ScoreRequest, TokenPrompt
from ramify.backend.radix import RadixBackend
from ramify.backend.radix.dtypes import faster
from ramify.errors import (
    BackendDiedError,
    BackendError,
    ConstraintError,
    PoolTooSmallError,
    PromptTooLongError,
)
from ramify.ir.sampling import Constraint, Sampling
from tests.backend.radix.harness import greedy
from tests.backend.radix.models import tiny

PROMPT = tuple(range(5, 45))
STORIES = Path(__file__).parents[4] / "shared" / "models" / "stories260K"


def ask(n: int = 8, prompt: tuple[int, ...] = PROMPT, **options: Any) -> Request:
    extra = {k: options.pop(k) for k in ("constraint", "salt", "label") if k in options}
    sampling = Sampling.of(max_tokens=n, **{"ignore_end": True, **options})
    return Request(prompt=TokenPrompt(prompt), sampling=sampling, **extra)


@pytest.fixture
async def backend() -> AsyncIterator[RadixBackend]:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1, token_budget=32)
    yield opened
    await opened.close()


async def all_free(backend: RadixBackend) -> bool:
    await backend.clear_cache()
    now = await backend.snapshot()
    return now.free == now.slots and now.running == now.waiting == 0


async def test_it_is_a_backend_that_streams(backend: RadixBackend) -> None:
    assert isinstance(backend, Backend)
    deltas = [delta async for delta in backend.generate(ask())]
    assert [i for d in deltas for i in d.ids] == greedy("llama", PROMPT, 8)
    assert "".join(d.text for d in deltas) == backend.renderer.tokenizer.decode(
        greedy("llama", PROMPT, 8)
    )
    assert len(deltas) > 2
    assert [d.finish for d in deltas[:-1]] == [None] * (len(deltas) - 1)
    usage = deltas[-1].usage
    assert deltas[-1].finish == "length" and usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.output_tokens) == (40, 0, 8)
    assert 0 < usage.first_token_s < usage.total_s
    again = await collect(backend.generate(ask()))
    assert again.usage.cached_tokens == 39
    now = await backend.snapshot()
    assert (now.asked, now.hits, now.finished) == (78, 39, 2)
    assert now.cached == now.used == 47
    assert await all_free(backend)


async def test_an_end_token_ends_and_is_not_given_out(backend: RadixBackend) -> None:
    full = greedy("llama", PROMPT, 30)
    end = full[9]
    found = await collect(backend.generate(ask(30, stop_ids=(end,))))
    assert found.ids == full[: full.index(end)] and found.finish == "stop"
    backend.renderer.end_ids = frozenset({end})
    found = await collect(backend.generate(ask(30, ignore_end=False)))
    assert found.ids == full[: full.index(end)] and found.finish == "stop"
    kept = await collect(backend.generate(ask(30)))
    assert kept.ids == full and kept.finish == "length"


async def test_a_stop_string_ends_the_text(backend: RadixBackend) -> None:
    text = backend.renderer.tokenizer.decode(greedy("llama", PROMPT, 30))
    stop = text[7:9]
    found = await collect(backend.generate(ask(30, stop=stop)))
    assert found.text == text[: text.index(stop)] and found.finish == "stop"
    assert await all_free(backend)


async def test_min_tokens_holds_the_end_back(backend: RadixBackend) -> None:
    first = greedy("llama", PROMPT, 1)[0]
    short = await collect(backend.generate(ask(6, stop_ids=(first,))))
    assert short.ids == []
    longer = await collect(backend.generate(ask(6, stop_ids=(first,), min_tokens=3)))
    assert len(longer.ids) >= 3 and first not in longer.ids[:3]


async def test_constraints(backend: RadixBackend) -> None:
    asked = [
        Constraint("regex", r"[0-9]{3}"),
        Constraint("choices", choices=("the river", "a mill")),
        Constraint("schema", '{"type":"integer","minimum":10,"maximum":99}'),
        Constraint("grammar", 'start: "boat" | "sea"'),
    ]
    found = await asyncio.gather(
        *(collect(backend.generate(ask(20, constraint=c))) for c in asked),
        collect(backend.generate(ask(20))),
    )
    assert len(found[0].text) == 3 and found[0].text.isdigit()
    assert found[1].text in ("the river", "a mill")
    assert 10 <= int(found[2].text) <= 99
    assert found[3].text in ("boat", "sea")
    assert [f.finish for f in found] == ["stop"] * 4 + ["length"]
    assert found[4].ids == greedy("llama", PROMPT, 20)
    with pytest.raises(ConstraintError):
        await collect(backend.generate(ask(constraint=Constraint("regex", "a("))))
    assert await all_free(backend)


async def test_logprobs_come_with_their_tokens(backend: RadixBackend) -> None:
    found = await collect(backend.generate(ask(10, logprobs=2)))
    assert [p.id for p in found.logprobs] == found.ids
    assert all(p.top[0] == (p.id, p.logprob) and len(p.top) == 2 for p in found.logprobs)


async def test_scores_are_the_logprobs_of_the_tokens(backend: RadixBackend) -> None:
    answer = await collect(backend.generate(ask(6, logprobs=1)))
    ids = tuple(answer.ids)
    asked = ScoreRequest(
        prompt=TokenPrompt(PROMPT), continuations=(ids, ids[:2], (), (7, 8, 9), ids[:1])
    )
    scores = await backend.score(asked)
    want = [p.logprob for p in answer.logprobs]
    for found, size in zip(scores.logprobs, (6, 2, 0, 3, 1), strict=True):
        assert len(found) == size
        if size != 3:
            assert found == pytest.approx(want[:size], abs=1e-5)
    usage = scores.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (40 + 12, 39)
    long = await backend.score(
        ScoreRequest(prompt=TokenPrompt(PROMPT[:1]), continuations=(PROMPT[1:],), salt="new")
    )
    assert len(long.logprobs[0]) == 39 and long.usage.cached_tokens == 0
    assert await all_free(backend)


async def test_a_warm_prompt_is_found(backend: RadixBackend) -> None:
    usage = await backend.prefill(TokenPrompt(PROMPT), salt="x")
    assert (usage.prompt_tokens, usage.cached_tokens) == (40, 0)
    assert (await backend.prefill(TokenPrompt(PROMPT), salt="x")).cached_tokens == 40
    found = await collect(backend.generate(ask(4, (*PROMPT, 9), salt="x")))
    assert found.usage.cached_tokens == 40
    assert found.ids == greedy("llama", (*PROMPT, 9), 4)
    assert (await collect(backend.generate(ask(4, salt="y")))).usage.cached_tokens == 0


async def test_what_does_not_fit_is_refused_with_numbers(backend: RadixBackend) -> None:
    with pytest.raises(PromptTooLongError, match=r"600 tokens.*context of 512"):
        await collect(backend.generate(ask(8, (7,) * 600)))
    with pytest.raises(BackendError, match="empty"):
        await collect(backend.generate(ask(8, ())))
    small = RadixBackend.open(tiny("llama"), pool_tokens=50, threads=1)
    with pytest.raises(PoolTooSmallError, match=r"needs 140 KV slots.* has 50"):
        await collect(small.generate(ask(100)))
    assert (await collect(small.generate(ask(10)))).ids == greedy("llama", PROMPT, 10)
    await small.close()


async def test_tokens_that_do_not_exist_are_refused(backend: RadixBackend) -> None:
    with pytest.raises(BackendError, match=r"token 160 does not exist.* 0 to 159"):
        await collect(backend.generate(ask(8, (5, 160))))
    with pytest.raises(BackendError, match="token -1 does not exist"):
        await backend.prefill(TokenPrompt((-1, 7)))
    with pytest.raises(BackendError, match="token 999 does not exist"):
        await backend.score(ScoreRequest(prompt=TokenPrompt(PROMPT), continuations=((5, 999),)))
    assert (await collect(backend.generate(ask()))).ids == greedy("llama", PROMPT, 8)


async def test_an_answer_is_cut_where_the_context_ends(backend: RadixBackend) -> None:
    found = await collect(backend.generate(ask(100, (9,) * 505)))
    assert len(found.ids) == 7 and found.finish == "length"


async def test_leaving_a_stream_frees_what_it_held(backend: RadixBackend) -> None:
    async with aclosing(backend.generate(ask(400))) as stream:  # type: ignore[type-var]
        async for _ in stream:
            break
    waiting = [asyncio.create_task(collect(backend.generate(ask(400)))) for _ in range(5)]
    scoring = asyncio.create_task(
        backend.score(ScoreRequest(prompt=TokenPrompt(PROMPT), continuations=((9,) * 300,) * 9))
    )
    while (now := await backend.snapshot()).running + now.waiting < 6:
        await asyncio.sleep(0)
    for task in (*waiting, scoring):
        task.cancel()
    await asyncio.gather(*waiting, scoring, return_exceptions=True)
    now = await backend.snapshot()
    assert now.running == now.waiting == 0 and now.cancelled == 7
    assert await all_free(backend)
    assert (await collect(backend.generate(ask()))).ids == greedy("llama", PROMPT, 8)


async def test_logits_that_are_not_numbers_end_only_that_request(
    backend: RadixBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backend._worker._engine.model
    forward = model.forward

    def broken(step: Any) -> Any:
        logits = forward(step).clone()
        logits[(step.tokens[step.wanted] == 3).nonzero()[0]] = float("nan")
        return logits

    monkeypatch.setattr(model, "forward", broken)
    bad, good, score = await asyncio.gather(
        collect(backend.generate(ask(8, (*PROMPT, 3), label="p/n"))),
        collect(backend.generate(ask())),
        backend.score(ScoreRequest(prompt=TokenPrompt((*PROMPT, 3)), continuations=((7,), (8,)))),
        return_exceptions=True,
    )
    assert isinstance(bad, BackendError) and "p/n" in str(bad) and "finite" in str(bad)
    assert isinstance(score, BackendError)
    assert not isinstance(good, BaseException) and good.ids == greedy("llama", PROMPT, 8)
    assert (await backend.snapshot()).failed == 2
    assert await all_free(backend)


async def test_a_thread_that_dies_fails_everyone_at_once(
    backend: RadixBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(step: Any) -> Any:
        raise RuntimeError("the machine is on fire")

    monkeypatch.setattr(backend._worker._engine.model, "_inputs", dies)
    found = await asyncio.gather(
        *(collect(backend.generate(ask(8, (*PROMPT, i)))) for i in range(9)),
        backend.prefill(TokenPrompt(PROMPT)),
        return_exceptions=True,
    )
    for error in found:
        assert isinstance(error, BackendDiedError) and "on fire" in str(error)
        assert isinstance(error.__cause__, RuntimeError)
    with pytest.raises(BackendDiedError, match="on fire"):
        await collect(backend.generate(ask()))
    with pytest.raises(BackendDiedError):
        await backend.snapshot()


async def test_closing_fails_those_who_wait_and_may_be_done_twice() -> None:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1)
    tasks = [asyncio.create_task(collect(opened.generate(ask(450)))) for _ in range(20)]
    await asyncio.sleep(0.02)
    await opened.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[-1], BackendDiedError) and "was closed" in str(found[-1])
    assert all(isinstance(one, BackendDiedError) or len(one.ids) == 450 for one in found)
    await opened.close()
    with pytest.raises(BackendDiedError, match="was closed"):
        await opened.prefill(TokenPrompt(PROMPT))


def test_a_backend_serves_one_loop_after_another() -> None:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1)

    async def left() -> None:
        stream = opened.generate(ask(450))
        await anext(stream)
        asyncio.get_running_loop().create_task(collect(stream))  # never finished

    asyncio.run(left())
    found = asyncio.run(collect(opened.generate(ask())))
    assert found.ids == greedy("llama", PROMPT, 8)
    asyncio.run(opened.close())


def test_a_backend_that_nobody_holds_stops_its_thread() -> None:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1, name="left alone")
    thread = opened._worker._thread
    assert thread.is_alive()
    del opened
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert not [t for t in threading.enumerate() if "left alone" in t.name]


def test_a_program_may_end_without_closing() -> None:
    code = f"""
import asyncio
from ramify.backend.contract import Request, TokenPrompt
from ramify.backend.radix import RadixBackend
from ramify.ir.sampling import Sampling
backend = RadixBackend.open({str(tiny("llama"))!r}, threads=1, pool_tokens=600)
async def main():
    request = Request(prompt=TokenPrompt((5, 6, 7)), sampling=Sampling(max_tokens=400))
    async for delta in backend.generate(request):
        break
asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not STORIES.is_dir(), reason="the shared model stories260K is not here")
async def test_real_weights_tell_the_story_that_transformers_tells() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32)
    opened = RadixBackend.open(STORIES, dtype="float32", threads=1, pool_tokens=2000)
    tokenizer = opened.renderer.tokenizer
    starts = ("Once upon a time", "Once upon a day, Lily", "The dog", "Once upon a time, Tim")
    asked = [tokenizer.start_ids + tokenizer.encode(text, first=True) for text in starts]
    want = [
        model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=50, pad_token_id=0)
        for ids in asked
    ]
    for _ in range(2):
        found = await asyncio.gather(
            *(collect(opened.generate(ask(50, ids, ignore_end=False))) for ids in asked)
        )
        for ids, answer, tokens in zip(asked, found, want, strict=True):
            assert answer.ids == [i for i in tokens[0, len(ids) :].tolist() if i != 2]
            assert answer.text == tokenizer.decode(answer.ids)
    await opened.close()


async def test_calibration_measures_and_leaves_the_cache_alone(
    backend: RadixBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAMIFY_CALIBRATION", str(tmp_path / "dtypes.json"))
    found = {"float32": {"decode_s": 2.0}, "bfloat16": {"decode_s": 1.0}}
    monkeypatch.setattr("ramify.backend.radix.dtypes.measure", lambda *_, **__: found)
    await backend.prefill(TokenPrompt(PROMPT))
    guess = backend.profile()
    assert guess.context == 512 and guess.decode_s
    measured = await backend.calibrate()
    assert backend.profile() is measured
    assert 0 < measured.prefill_s < 1
    assert [batch for batch, _ in measured.decode_s] == [1, 4, 16, 64]
    assert (await backend.prefill(TokenPrompt(PROMPT))).cached_tokens == 40
    assert faster(backend._device) == "bfloat16"


async def test_the_naive_twin_says_the_same(backend: RadixBackend) -> None:
    naive = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1, cache=False)
    for _ in range(2):
        found = await collect(naive.generate(ask()))
        assert found.ids == greedy("llama", PROMPT, 8) and found.usage.cached_tokens == 0
    assert await all_free(naive)
    await naive.close()


def test_the_package_does_not_import_torch() -> None:
    code = "import sys, ramify.backend.radix; assert not {'torch', 'transformers'} & {*sys.modules}"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
