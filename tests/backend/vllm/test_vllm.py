"""A real vLLM, in this process and as a server: exact, and everything that the contract names."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import ramify as rf
from ramify.backend import Backend, Collected, Request, ScoreRequest, TokenPrompt, collect
from ramify.backend.openai import OpenAIBackend
from ramify.errors import BackendDiedError, BackendError, ConstraintError, PromptTooLongError
from ramify.ir import Constraint, Sampling
from ramify.runtime import run_sync
from tests.backend.vllm.conftest import TOKENS, Model, in_process, served

Make = Callable[[str], Model]


async def answers(backend: Backend, model: Model, *, stream: bool) -> list[Collected]:
    sampling = Sampling(max_tokens=TOKENS)

    async def one(ids: tuple[int, ...]) -> Collected:
        request = Request(prompt=TokenPrompt(ids), sampling=sampling, stream=stream)
        return await collect(backend.generate(request))

    return list(await asyncio.gather(*map(one, model.prompts)))


def check_greedy(backend: Backend, model: Model) -> None:
    """24 of 24 answers are those of plain transformers, streamed or in one piece."""
    for stream in (True, False):
        found = run_sync(answers(backend, model, stream=stream))
        assert [answer.ids for answer in found] == model.greedy
        assert all(answer.text == backend.renderer.tokenizer.decode(answer.ids) for answer in found)
    # 24 siblings that arrived together computed their common 200 tokens about once
    assert sum(answer.usage.cached_tokens for answer in found) >= 24 * 192


def ask(backend: Backend, ids: tuple[int, ...], **options: Any) -> Collected:
    sampling = options.pop("sampling", Sampling(max_tokens=16))
    request = Request(prompt=TokenPrompt(ids), sampling=sampling, **options)
    return run_sync(collect(backend.generate(request)))


def check_contract(backend: Backend, model: Model) -> None:
    ids, greedy = model.prompts[3], model.greedy[3]
    tokenizer = backend.renderer.tokenizer
    # stop strings end the text before themselves, and the ids spell the text
    whole = tokenizer.decode(greedy)
    stop = whole[4:7]
    found = ask(backend, ids, sampling=Sampling(max_tokens=TOKENS, stop=(stop,)), stream=False)
    assert found.text == whole[: whole.index(stop)] and found.finish == "stop"
    # stop tokens, log-probabilities
    found = ask(backend, ids, sampling=Sampling(max_tokens=TOKENS, stop_ids=(greedy[5],)))
    assert found.ids == greedy[: greedy.index(greedy[5])]
    found = ask(backend, ids, sampling=Sampling(max_tokens=6, logprobs=3))
    assert [row.id for row in found.logprobs] == greedy[:6] == found.ids
    assert all(row.top[0] == (row.id, row.logprob) for row in found.logprobs)
    # constraints
    found = ask(backend, ids, constraint=Constraint("regex", "[0-9]{4}"))
    assert len(found.text) == 4 and found.text.isdigit() and found.finish == "stop"
    found = ask(backend, ids, constraint=Constraint("choices", choices=("good", "bad")))
    assert found.text in ("good", "bad")
    grammar = Constraint("grammar", 'start: "a" ("b" | "c")+ "d"')
    found = ask(backend, ids, constraint=grammar, sampling=Sampling(max_tokens=40))
    assert found.text[0] == "a" and set(found.text) <= set("abcd")
    schema = {
        "type": "object",
        "properties": {"b": {"type": "boolean"}, "a": {"enum": ["x", "y"]}},
        "required": ["b", "a"],
        "additionalProperties": False,
    }
    constraint = Constraint("schema", json.dumps(schema))
    found = ask(backend, ids, constraint=constraint, sampling=Sampling(max_tokens=200))
    if found.finish == "stop":  # a server without disable_any_whitespace may write spaces only
        assert list(json.loads(found.text)) == ["b", "a"]
    with pytest.raises(ConstraintError):
        ask(backend, ids, constraint=Constraint("regex", "(unclosed"))
    # samples in one request are what each seed alone gives
    sampling = Sampling(max_tokens=8, temperature=1.0, seed=11)

    async def samples() -> list[list[int]]:
        request = Request(prompt=TokenPrompt(ids), sampling=sampling, samples=3)
        told: list[list[int]] = [[], [], []]
        async for delta in backend.generate(request):
            told[delta.index] += delta.ids
        return told

    alone = [
        ask(backend, ids, sampling=Sampling(max_tokens=8, temperature=1.0, seed=11 + i)).ids
        for i in range(3)
    ]
    assert run_sync(samples()) == alone and alone[0] != alone[1]
    # scores of continuations, against the naive way: one token at a time
    options = ((5, 6, 7), (5, 6), (9,), (5, 8, 7))
    scores = run_sync(backend.score(ScoreRequest(prompt=TokenPrompt(ids), continuations=options)))
    reference = log_probabilities(model, ids, options)
    for found_row, right in zip(scores.logprobs, reference, strict=True):
        assert found_row == pytest.approx(right, abs=2e-3)
    asked = ScoreRequest(prompt=TokenPrompt(ids), prompt_from=190)
    own = run_sync(backend.score(asked))
    right = log_probabilities(model, ids[:190], [ids[190:]])[0]
    assert own.prompt == pytest.approx(right, abs=2e-3) and own.logprobs == ()
    # salts keep prefixes apart
    first, again, other = (
        ask(backend, model.prompts[0], salt=salt).usage for salt in ("me", "me", "you")
    )
    assert first.cached_tokens == other.cached_tokens == 0 and again.cached_tokens > 0
    # what does not fit is refused; what grows too long is cut
    with pytest.raises(PromptTooLongError, match="context of 1024"):
        ask(backend, ids * 6)
    long = (ids * 6)[:1020]
    found = ask(backend, long, sampling=Sampling(max_tokens=50, ignore_end=True))
    assert len(found.ids) == 4 and found.finish == "length"


def log_probabilities(model: Model, ids: tuple[int, ...], options: Any) -> list[list[float]]:
    import torch
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32)
    found = []
    for option in options:
        with torch.no_grad():
            logits = plain(torch.tensor([[*ids, *option]])).logits[0].log_softmax(-1)
        start = len(ids) - 1
        found.append([float(logits[start + at, token]) for at, token in enumerate(option)])
    return found


def check_abort(backend: Backend, model: Model) -> None:
    """A stream that is left frees its place; the backend goes on."""

    async def leave() -> None:
        request = Request(
            prompt=TokenPrompt(model.prompts[0]), sampling=Sampling(max_tokens=700, ignore_end=True)
        )
        stream = backend.generate(request)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    for _ in range(3):
        run_sync(leave())
    assert (
        ask(backend, model.prompts[1], sampling=Sampling(max_tokens=TOKENS)).ids
        == (model.greedy[1])
    )


@rf.program
def report(s: rf.State, topic: str) -> Any:
    s += rf.system("the old harbour was built on trade and fish by men who came from far away")
    s += rf.user(f"points about {topic}")
    s += rf.assistant(rf.gen("points", max_tokens=10))
    branches = s.fork(4)
    for number, branch in enumerate(branches):
        branch += rf.user(f"say more about point {number}")
        branch += rf.assistant(rf.gen("more", max_tokens=10))
    s.join(branches)
    s += rf.user("good or bad")
    s += rf.assistant(rf.select("verdict", ["good", "bad"]))
    return rf.lines(s["points"], branches["more"], s["verdict"])


def check_programs(backend: Backend, model: Model) -> None:
    """A whole program equals the naive engine on the same weights, without any pass."""
    from ramify.backend.radix import RadixBackend

    naive = RadixBackend.open(model.folder, dtype="float32", cache=False, fused=False, threads=1)
    try:
        rows = [{"topic": word} for word in ("trade", "fish", "winter")]
        right = report.run_batch(rows, backend=naive, policy=rf.Policy(optimize=False))
        found = report.run_batch(rows, backend=backend)
        assert not right.failed and not found.failed
        assert [one.text for one in found] == [one.text for one in right]
    finally:
        run_sync(naive.close())


def test_llama_in_this_process(model: Make) -> None:
    found = model("llama")
    with in_process(found, kv_events=True) as backend:
        check_greedy(backend, found)
        check_contract(backend, found)
        check_abort(backend, found)
        check_programs(backend, found)
        # the mirror, fed by the engine's events, knows what the engine knows
        mirror = backend.events.mirror
        names = mirror.names(found.prompts[5])
        for _ in range(1200):
            if mirror.known(names) == len(names):
                break
            run_sync(asyncio.sleep(0.05))
        assert mirror.known(names) == len(names) > 5
        assert mirror.known(mirror.names(found.prompts[0], "me")) > 5
        assert mirror.known(mirror.names(found.prompts[0], "nobody")) == 0
        run_sync(backend.clear_cache())
        assert ask(backend, found.prompts[5]).usage.cached_tokens == 0
    with pytest.raises(BackendDiedError, match="closed"):
        ask(backend, found.prompts[0])
    with pytest.raises(BackendError, match="no option 'max_model_length'"):
        rf.open_backend(f"vllm:{found.folder}?max_model_length=4")


def test_qwen2_in_this_process_after_another_engine(model: Make) -> None:
    found = model("qwen2")
    with in_process(found) as backend:
        check_greedy(backend, found)
        engine = weakref.ref(backend.started.engine)
    assert engine() is None  # or it would complain at the end of the interpreter
    with pytest.raises(BackendDiedError, match="is closed"):
        run_sync(backend.clear_cache())


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_server(kind: str, model: Make) -> None:
    found = model(kind)
    with served(found, structured_outputs_config='{"backend": "guidance"}') as url:
        backend = OpenAIBackend.open(f"{found.folder}@{url}")
        assert backend.capabilities.token_prompts and backend.capabilities.priorities
        assert backend.server.version and backend.profile().context == 1024
        check_greedy(backend, found)
        if kind == "llama":
            check_contract(backend, found)
            check_abort(backend, found)
            check_programs(backend, found)
            chat = OpenAIBackend.open(f"{found.folder}@{url}", wire="text")
            assert report_text(chat)
            run_sync(chat.close())
        run_sync(backend.close())


@rf.program
def raw(s: rf.State) -> Any:
    s += "the old harbour"
    s += rf.gen("rest", max_tokens=8)
    return s["rest"]


def report_text(backend: OpenAIBackend) -> str:
    """Raw text to a server that is not asked for token ids."""
    return raw.run(backend=backend).text
