"""Requests that travel as token ids: exact, streamed or not, alone or behind a leader."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from ramify.backend import Collected, Request, ScoreRequest, TokenPrompt, collect
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.openai import OpenAIBackend
from ramify.errors import CapabilityError, PromptTooLongError
from ramify.ir import Constraint, Sampling
from tests.backend.openai.spec_server import SpecServer, draw


def opened(server: SpecServer, folder: Path, **options: Any) -> OpenAIBackend:
    return OpenAIBackend.open(f"small@{server.url}", tokenizer=str(folder), **options)


def expected(server: SpecServer, ids: tuple[int, ...], sampling: Sampling, sample: int = 0) -> Any:
    """What the model writes, without the end token."""
    body = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
    if sampling.temperature > 0:
        body["seed"] = sampling.seed or 0
    wrote = server.write(ids, body, sample)
    ended = wrote[-1] in server.tokenizer.end_ids
    return wrote[:-1] if ended else wrote


@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "sglang", "sglang, new ids alone"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("follow", [True, False])
async def test_answers_are_the_models_own_tokens(
    kind: str, stream: bool, follow: bool, tokenizer: HFTokenizer, folder: Path
) -> None:
    kind, _, alone = kind.partition(", ")
    with SpecServer(kind, tokenizer=tokenizer, incremental=bool(alone)).running() as server:
        backend = opened(server, folder, leader_first=follow)
        assert backend.capabilities.token_prompts and not backend.why_text
        common = tokenizer.encode("The harbour was built on trade and fish. " * 8)
        prompts = [common + tokenizer.encode(f"Ship {i}") for i in range(6)]
        sampling = Sampling(max_tokens=20)

        async def one(ids: tuple[int, ...]) -> Collected:
            request = Request(prompt=TokenPrompt(ids), sampling=sampling, stream=stream)
            return await collect(backend.generate(request))

        found = await asyncio.gather(*map(one, prompts))
        for ids, answer in zip(prompts, found, strict=True):
            assert answer.ids == expected(server, ids, sampling)
            assert answer.text == tokenizer.decode(answer.ids)
            assert answer.finish == ("stop" if len(answer.ids) < 20 else "length")
            assert answer.usage.prompt_tokens == len(ids)
            assert answer.usage.output_tokens in (len(answer.ids), len(answer.ids) + 1)
        if follow:  # one computed the common beginning, five found it
            computed = sum(answer.usage.computed_tokens for answer in found)
            assert computed <= len(common) + 6 * (16 + 12)
        await backend.close()


async def test_samples_in_one_request_are_those_of_their_seeds(
    tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer).running() as server:
        backend = opened(server, folder)
        ids = tokenizer.encode("Old town")
        sampling = Sampling(max_tokens=12, temperature=1.0, seed=7)
        request = Request(prompt=TokenPrompt(ids), sampling=sampling, samples=3)
        found: dict[int, list[int]] = {0: [], 1: [], 2: []}
        async for delta in backend.generate(request):
            found[delta.index] += delta.ids
        assert [found[i] for i in range(3)] == [
            expected(server, ids, sampling, i) for i in range(3)
        ]
        assert len(server.posts("/v1/completions")) == 4  # three of the probe


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_stop_strings_logprobs_constraints_scores_salts_and_priorities(
    kind: str, tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(kind, tokenizer=tokenizer).running() as server:
        backend = opened(server, folder)
        ids = tokenizer.encode("Old town")
        whole = expected(server, ids, Sampling(max_tokens=20))
        stop = tokenizer.decode(whole[3:5])
        sampling = Sampling(max_tokens=20, stop=(stop,), logprobs=1)
        request = Request(prompt=TokenPrompt(ids), sampling=sampling, salt="me", priority=2.5)
        found = await collect(backend.generate(request))
        text = tokenizer.decode(whole)
        assert found.text == text[: text.index(stop)] == tokenizer.decode(found.ids)
        assert found.finish == "stop" and len(found.logprobs) == len(found.ids)
        sent = server.posts("/generate" if kind == "sglang" else "/v1/completions")[-1]
        assert sent["cache_salt"] == "me"
        assert sent["priority"] == (2500 if kind == "sglang" else -2500)
        asked = sent["sampling_params"] if kind == "sglang" else sent
        assert asked["repetition_penalty"] == 1.0  # else the model's own generation config has it
        assert asked["top_k"] == (-1 if kind == "sglang" else 0)
        assert asked["stop_token_ids"] == sorted(backend.renderer.end_ids)
        pick = Constraint("choices", choices=("good", "bad"))
        request = Request(prompt=TokenPrompt(ids), sampling=Sampling(), constraint=pick)
        assert (await collect(backend.generate(request))).text in pick.choices
        options = (tokenizer.encode(" good"), tokenizer.encode(" bad"))
        scores = await backend.score(ScoreRequest(prompt=TokenPrompt(ids), continuations=options))
        for option, logprobs in zip(options, scores.logprobs, strict=True):
            steps = [ids + option[: at + 1] for at in range(len(option))]
            assert list(logprobs) == [-(draw(step) % 1000) / 100 for step in steps]
        assert await backend.embed(["a", "long"]) == [[1.0, 1.0], [4.0, 1.0]]


async def test_a_prompt_that_does_not_fit_is_refused_and_an_answer_is_cut(
    tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer, context=40).running() as server:
        backend = opened(server, folder)
        ids = (tokenizer.encode("town") * 40)[:40]
        with pytest.raises(PromptTooLongError, match=r"40 tokens.*context of 40"):
            await collect(backend.generate(Request(prompt=TokenPrompt(ids), sampling=Sampling())))
        sampling = Sampling(max_tokens=100, ignore_end=True)
        cut = await collect(
            backend.generate(Request(prompt=TokenPrompt(ids[:30]), sampling=sampling))
        )
        assert len(cut.ids) == 10 and cut.finish == "length"


@pytest.mark.parametrize("named", [True, False])
async def test_options_are_scored_behind_one_prompt_where_the_server_can(
    named: bool, tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer, named_logprobs=named).running() as server:
        backend = opened(server, folder)
        prompt = tokenizer.encode("The harbour was built on trade and fish. " * 12)
        options = tuple(map(tokenizer.encode, (" good", " bad", " gone", " green")))
        request = ScoreRequest(prompt=TokenPrompt(prompt), continuations=options)
        scores = await backend.score(request)
        assert scores.logprobs == tuple(
            tuple(server.logprob(prompt + option[:at], token) for at, token in enumerate(option))
            for option in options
        )
        computed = scores.usage.computed_tokens
        if named:  # the rest of a block of the cache a place, at most
            places = len({option[:at] for option in options for at in range(len(option))})
            assert computed <= len(prompt) + places * 24
        else:  # an older server is given every option as a whole prompt
            assert computed >= 4 * len(prompt)
        own = ScoreRequest(prompt=TokenPrompt(prompt), continuations=options, prompt_from=5)
        found = await backend.score(own)
        assert found.logprobs == scores.logprobs
        assert found.prompt == tuple(
            server.logprob(prompt[:at], prompt[at]) for at in range(5, len(prompt))
        )


@pytest.mark.parametrize("kind", ["tgi", "openai"])
async def test_servers_that_do_not_say_ids_get_text(
    kind: str, tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(kind, tokenizer=tokenizer).running() as server:
        backend = opened(server, folder)
        assert not backend.capabilities.token_prompts and "id" in backend.why_text
        with pytest.raises(CapabilityError, match="cannot travel as tokens"):
            opened(server, folder, wire="tokens")


async def test_another_tokenizer_is_found_out(folder: Path) -> None:
    class Other:
        def encode(self, text: str) -> list[int]:
            return [1, 2, 3]

    with SpecServer(tokenizer=Other()).running() as server:
        backend = opened(server, folder)
        assert "another one" in backend.why_text


@rf.program
def guide(s: rf.State, topic: str) -> Any:
    s += rf.system("You give short, useful advice, in plain words, to everybody who asks. " * 3)
    s += rf.user(f"Name two things about {topic}.")
    s += rf.assistant(rf.gen("names", max_tokens=12))
    branches = s.fork(3)
    for number, branch in enumerate(branches, 1):
        branch += rf.user(f"Explain number {number}.")
        branch += rf.assistant(rf.gen("why", max_tokens=12))
    s.join(branches)
    s += rf.user("Which is best?")
    s += rf.assistant(rf.gen("best", choices=["one", "two", "three"]))
    return rf.lines(branches["why"], s["best"])


def test_programs_are_exact_with_and_without_everything_clever(
    tokenizer: HFTokenizer, folder: Path
) -> None:
    with SpecServer(tokenizer=tokenizer).running() as server:
        clever = guide.run(topic="boats", backend=opened(server, folder))
        plain = guide.run(
            topic="boats",
            backend=opened(server, folder, leader_first=False),
            policy=rf.Policy(optimize=False),
        )
        assert clever.text == plain.text and clever.usage.cached_tokens > 0
