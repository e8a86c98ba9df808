"""The `openai` backend against a real llama-server: token ids, exact, shared prefixes, grammars."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from math import isnan
from typing import Any

import pytest

import ramify as rf
from ramify.backend import Backend, Collected, Request, TokenPrompt, collect
from ramify.backend.openai import OpenAIBackend
from ramify.backend.radix import RadixBackend
from ramify.errors import PromptTooLongError, ServerRefusedError
from ramify.ir import Constraint, Sampling
from ramify.runtime import run_sync
from tests.backend.llama.conftest import CONTEXT, Served

COMMON = "the old harbour was built on trade and fish by men who came from far away " * 4


@pytest.fixture(scope="module")
def naive(served: Served) -> Iterator[RadixBackend]:
    """The same weights in the engine's simplest form."""
    backend = RadixBackend.open(served.folder, dtype="float32", cache=False, fused=False, threads=1)
    yield backend
    run_sync(backend.close())


@pytest.fixture
def backend(served: Served) -> Iterator[OpenAIBackend]:
    made = OpenAIBackend.open(f"small@{served.url}", tokenizer=str(served.folder))
    yield made
    run_sync(made.close())


def ask(backend: Backend, ids: tuple[int, ...], **options: Any) -> Collected:
    options.setdefault("sampling", Sampling(max_tokens=24))
    return run_sync(collect(backend.generate(Request(prompt=TokenPrompt(ids), **options))))


def test_greedy_tokens_are_those_of_the_naive_engine(
    backend: OpenAIBackend, naive: RadixBackend
) -> None:
    assert backend.capabilities.token_prompts and not backend.why_text
    assert backend.server.dialect.name == "llamacpp" and backend.profile().context == CONTEXT
    encode = backend.renderer.tokenizer.encode
    prompts = [(*encode(COMMON), *encode(f"ship {i} of the winter")) for i in range(8)]
    sampling = Sampling(max_tokens=24, logprobs=2)
    right = [ask(naive, ids, sampling=sampling) for ids in prompts]

    async def together() -> list[Collected]:
        asked = (
            Request(prompt=TokenPrompt(ids), sampling=sampling, stream=number % 2 == 0)
            for number, ids in enumerate(prompts)
        )
        return await asyncio.gather(*(collect(backend.generate(one)) for one in asked))

    found = run_sync(together())
    for one, other in zip(found, right, strict=True):
        assert one.ids == other.ids and one.text == other.text and one.finish == other.finish
        rows = zip(one.logprobs, other.logprobs, strict=True)
        known = [(a.logprob, b.logprob) for a, b in rows if not isnan(a.logprob)]
        assert len(known) > 12  # none of tokens that end within a character
        assert [a for a, _ in known] == pytest.approx([b for _, b in known], abs=1e-3)
    assert sum(one.usage.cached_tokens for one in found) > 2 * len(encode(COMMON))


def test_stops_and_limits_are_ours(backend: OpenAIBackend, naive: RadixBackend) -> None:
    ids = backend.renderer.tokenizer.encode("bread and salt")
    whole = ask(naive, ids)
    stop = backend.renderer.tokenizer.decode(whole.ids[4:6])
    for stream in (True, False):
        sampling = Sampling(max_tokens=24, stop=(stop,))
        cut = ask(backend, ids, sampling=sampling, stream=stream)
        assert cut.finish == "stop" and cut.text == whole.text[: whole.text.index(stop)]
    ended = ask(backend, ids, sampling=Sampling(max_tokens=24, stop_ids=(whole.ids[3],)))
    assert ended.ids == whole.ids[: whole.ids.index(whole.ids[3])] and ended.finish == "stop"
    long = (backend.renderer.tokenizer.encode("town") * CONTEXT)[:CONTEXT]
    with pytest.raises(PromptTooLongError):
        ask(backend, long)


def test_constraints_hold(backend: OpenAIBackend) -> None:
    ids = backend.renderer.tokenizer.encode("good or bad")
    pick = Constraint("choices", choices=("good", 'the "worst"', "bad"))
    assert ask(backend, ids, constraint=pick).text in pick.choices
    properties = {"a": {"type": "string", "maxLength": 5}, "b": {"type": "boolean"}}
    form = {"type": "object", "properties": properties, "required": ["a", "b"]}
    schema = Constraint("schema", json.dumps(form | {"additionalProperties": False}))
    found = json.loads(ask(backend, ids, constraint=schema, sampling=Sampling(max_tokens=60)).text)
    assert set(found) == {"a", "b"} and isinstance(found["b"], bool)


@rf.program
def report(s: rf.State, topic: str) -> Any:
    s += COMMON
    s += f"points about {topic}: "
    s += rf.gen("points", max_tokens=10)
    branches = s.fork(4)
    for number, branch in enumerate(branches):
        branch += f" more about point {number}: "
        branch += rf.gen("more", max_tokens=10)
    s.join(branches)
    s += " in one word: "
    s += rf.gen("verdict", choices=["good", "bad"])
    return rf.lines(s["points"], branches["more"], s["verdict"])


def test_programs_are_exact(backend: OpenAIBackend, naive: RadixBackend) -> None:
    rows = [{"topic": word} for word in ("trade", "fish", "winter")]
    right = report.run_batch(rows, backend=naive, policy=rf.Policy(optimize=False))
    found = report.run_batch(rows, backend=backend)
    assert not right.failed and not found.failed
    assert [one.text for one in found] == [one.text for one in right]


def depth(place: str) -> str:
    """How deep the water is."""
    return "8 fathoms"


def test_text_tools_embeddings_and_errors(served: Served) -> None:
    chat = OpenAIBackend.open(f"small@{served.url}", wire="chat")

    @rf.program
    def talk(s: rf.State) -> Any:
        s += rf.system("be short")
        s += rf.user("the old harbour")
        s += rf.assistant(rf.gen("a", max_tokens=8))
        return s["a"]

    result = talk.run(backend=chat)
    assert result.usage.output_tokens == 8 and result.usage.prompt_tokens > 4
    # tools travel in the server's own form; a random model calls nothing
    assert chat.capabilities.tools
    told = rf.patterns.use_tools.run("how deep", [depth], step_tokens=8, backend=chat)
    assert told.text and told["step0"].calls == []
    vectors = run_sync(chat.embed(["fish", "trade"]))
    assert len(vectors) == 2 and len(vectors[0]) == 128 and vectors[0] != vectors[1]
    with pytest.raises(ServerRefusedError, match=r"no model 'smal'. Did you mean 'small'"):
        OpenAIBackend.open(f"smal@{served.url}")
    run_sync(chat.close())
