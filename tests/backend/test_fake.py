"""The fake backend keeps the whole contract: answers, limits, prefix hits, errors, order."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend import (
    Backend,
    BlockSpan,
    Capabilities,
    Collected,
    FakeBackend,
    Profile,
    Request,
    ScoreRequest,
    TokenPrompt,
    collect,
)
from ramify.backend.fake.prefixes import PrefixTree
from ramify.backend.gate import Gate
from ramify.errors import (
    BackendDiedError,
    BackendError,
    CapabilityError,
    ConstraintError,
    PromptTooLongError,
)
from ramify.ir import Constraint, Sampling


def prompt_of(backend: FakeBackend, text: str) -> TokenPrompt:
    return TokenPrompt(backend.tokenizer.encode(text))


async def ask(
    backend: FakeBackend,
    prompt: str | TokenPrompt = "Hello there",
    *,
    constraint: Constraint | None = None,
    label: str = "",
    salt: str = "",
    priority: float = 0.0,
    **sampling: Any,
) -> Collected:
    if isinstance(prompt, str):
        prompt = prompt_of(backend, prompt)
    request = Request(
        prompt=prompt,
        sampling=Sampling.of(**sampling),
        constraint=constraint,
        label=label,
        salt=salt,
        priority=priority,
    )
    return await collect(backend.generate(request))


async def test_it_is_a_backend_and_deterministic() -> None:
    one, two = FakeBackend(), FakeBackend()
    assert isinstance(one, Backend)
    first, second = await ask(one), await ask(two)
    assert first.text == second.text and first.ids == second.ids and first.text
    assert one.tokenizer.decode(first.ids) == first.text
    assert (await ask(one, "Hello her")).text != first.text
    assert first.finish == "stop" and first.usage.output_tokens == len(first.ids)


async def test_the_seed_counts_only_with_a_temperature() -> None:
    backend = FakeBackend()
    cold = [(await ask(backend, seed=seed)).text for seed in (1, 2)]
    warm = [(await ask(backend, seed=seed, temperature=0.7)).text for seed in (1, 2, 1)]
    assert cold[0] == cold[1] and warm[0] != warm[1] and warm[0] == warm[2]


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=30),
    st.integers(1, 12),
    st.integers(0, 12),
    st.lists(st.sampled_from(["a", "e ", " th", "old", "\n"]), max_size=2).map(tuple),
    st.booleans(),
)
def test_limits_are_kept(
    prompt: str, most: int, least: int, stop: tuple[str, ...], ignore_end: bool
) -> None:
    backend = FakeBackend()
    least = min(least, most)
    options = {"max_tokens": most, "min_tokens": least, "ignore_end": ignore_end}
    free = asyncio.run(ask(backend, prompt, **options))
    done = asyncio.run(ask(backend, prompt, stop=stop, **options))
    assert least <= len(done.ids) <= most
    assert backend.tokenizer.decode(done.ids) == done.text
    assert free.text.startswith(done.text)
    floor = len(backend.tokenizer.decode(free.ids[:least]))
    at = [free.text.find(s, floor) for s in stop if free.text.find(s, floor) >= 0]
    assert done.text == free.text[: min(at, default=None)]
    assert done.finish == ("stop" if at or len(free.ids) < most else "length")
    if ignore_end:
        assert len(free.ids) == most


async def test_stop_ids_end_an_answer() -> None:
    backend = FakeBackend(reply=["one two three"])
    stop = backend.tokenizer.encode(" two")[-1:]
    assert (await ask(backend, stop_ids=stop)).text == "one"


async def test_replies_by_function_mapping_and_list() -> None:
    seen: list[str] = []

    def reply(prompt: str) -> str:
        seen.append(prompt)
        return "from a function"

    backend = FakeBackend(reply=reply)
    ids = (*backend.tokenizer.start_ids, *backend.tokenizer.encode("hi"))
    assert (await ask(backend, TokenPrompt(ids))).text == "from a function"
    assert seen == ["<|start|>hi"] == [backend.calls[0].text]
    mapped = FakeBackend(reply={"weather": "rain", "name": "Ada"})
    assert (await ask(mapped, "name? weather?")).text == "rain", "the key that stands last"
    assert (await ask(mapped, "else")).text == (await ask(FakeBackend(), "else")).text
    assert (await ask(FakeBackend(reply="always"))).text == "always"
    listed = FakeBackend(reply=["one", "two"])
    assert [(await ask(listed)).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(BackendError, match="no reply left after 2"):
        await ask(listed)
    long = FakeBackend(reply=lambda _: "x" * 100)
    cut = await ask(long, max_tokens=5)
    assert cut.finish == "length" and len(cut.ids) == 5


async def test_constraints_are_kept() -> None:
    backend = FakeBackend()
    choices = Constraint("choices", choices=("yes", "no", "maybe"))
    texts = {(await ask(backend, f"q{i}", constraint=choices)).text for i in range(30)}
    assert texts == {"yes", "no", "maybe"}
    regex = Constraint("regex", r"[A-Z][a-z]{2,5}-\d+")
    assert re.fullmatch(regex.text, (await ask(backend, constraint=regex)).text)
    fitting = FakeBackend(reply=["Town-7", "no town"])
    assert (await ask(fitting, constraint=regex)).text == "Town-7"
    assert re.fullmatch(regex.text, (await ask(fitting, constraint=regex)).text)
    with pytest.raises(CapabilityError, match="cannot follow a grammar"):
        await ask(backend, constraint=Constraint("grammar", 'start: "a"'))
    with pytest.raises(ConstraintError, match="is invalid"):
        await ask(backend, constraint=Constraint("regex", "a("))
    lacking = FakeBackend(capabilities=Capabilities())
    with pytest.raises(CapabilityError, match="cannot follow a regex"):
        await ask(lacking, constraint=regex)
    assert (await ask(backend)).text, "it goes on after errors"


async def test_scores_and_logprobs() -> None:
    backend = FakeBackend()
    options = tuple(backend.tokenizer.encode(text) for text in (" yes", " no", " yes or no"))
    request = ScoreRequest(prompt=prompt_of(backend, "Is it?"), continuations=options)
    first, second = await backend.score(request), await backend.score(request)
    assert first.logprobs == second.logprobs
    assert [len(found) for found in first.logprobs] == [len(ids) for ids in options]
    assert first.logprobs[0] == first.logprobs[2][: len(options[0])], "a prefix scores the same"
    assert all(value < 0 for found in first.logprobs for value in found)
    assert second.usage.cached_tokens == len(request.prompt) - 1
    done = await ask(backend, logprobs=3, max_tokens=6)
    assert [entry.id for entry in done.logprobs] == done.ids
    for entry in done.logprobs:
        assert entry.top[0] == (entry.id, entry.logprob) and len(entry.top) == 3
        assert len({token for token, _ in entry.top}) == 3
    with pytest.raises(CapabilityError, match="log-probabilities"):
        await ask(FakeBackend(capabilities=Capabilities()), logprobs=1)
    with pytest.raises(CapabilityError, match="cannot score"):
        await FakeBackend(capabilities=Capabilities()).score(request)


async def test_prefixes_are_counted_by_salt() -> None:
    backend = FakeBackend()
    shared = prompt_of(backend, "one two three four")
    longer = TokenPrompt(shared.ids + backend.tokenizer.encode(" five"))
    assert (await backend.prefill(shared)).cached_tokens == 0
    assert (await ask(backend, longer)).usage.cached_tokens == len(shared)
    assert (await ask(backend, longer)).usage.cached_tokens == len(longer) - 1
    assert (await ask(backend, longer, salt="other")).usage.cached_tokens == 0
    done = await ask(backend, longer)
    again = TokenPrompt((*longer.ids, *done.ids, *backend.tokenizer.encode("!")))
    assert (await ask(backend, again)).usage.cached_tokens == len(again) - 1, "answers are kept"
    usage = done.usage
    assert usage.computed_tokens == usage.prompt_tokens - usage.cached_tokens == 1
    assert usage.total_s >= usage.first_token_s > 0
    unaware = FakeBackend(capabilities=Capabilities())
    await ask(unaware)
    assert (await ask(unaware)).usage.cached_tokens == 0


async def test_parallel_blocks_are_found_in_any_order() -> None:
    backend = FakeBackend(parallel=True)
    head, a, b, end = (backend.tokenizer.encode(text) for text in ("head", " aaa", " bbb", " end"))

    def joined(*blocks: tuple[int, ...]) -> TokenPrompt:
        ids, spans = head, []
        for block in blocks:
            spans.append(BlockSpan(len(ids), len(ids) + len(block), 0))
            ids += block
        return TokenPrompt(ids + end, tuple(spans))

    assert (await ask(backend, joined(a, b))).usage.cached_tokens == 0
    swapped = await ask(backend, joined(b, a))
    assert swapped.usage.cached_tokens == len(head + a + b), "only the end is new"
    as_text = FakeBackend()
    await ask(as_text, joined(a, b))
    assert (await ask(as_text, joined(b, a))).usage.cached_tokens < len(head + a + b)


async def test_calls_are_recorded_in_order() -> None:
    quick = Profile(name="fake", context=1000, decode_s=((1, 1e-4),), max_batch=1)
    backend = FakeBackend(latency=1.0, profile=quick, record=10)
    first = asyncio.create_task(ask(backend, "first", label="p/first"))
    await asyncio.sleep(0)
    others = [
        asyncio.create_task(ask(backend, name, label=name, priority=priority))
        for name, priority in (("low", 1.0), ("high", 9.0), ("late", 1.0))
    ]
    await asyncio.gather(first, *others)
    assert [call.label for call in backend.calls] == ["p/first", "high", "low", "late"]
    assert [call.started for call in backend.calls] == [0, 2, 4, 6]
    assert [call.finished for call in backend.calls] == [1, 3, 5, 7]
    call = backend.calls[0]
    assert (call.kind, call.text, call.tokens, call.cached) == ("generate", "first", 2, 0)
    assert call.answer
    for _ in range(40):
        await ask(backend)
    assert 10 <= len(backend.calls) <= 20


async def test_siblings_run_at_once() -> None:
    quick = Profile(name="fake", context=1000, decode_s=((1, 1e-4),))
    backend = FakeBackend(latency=1.0, profile=quick)
    await asyncio.gather(*(ask(backend, f"q{number}") for number in range(8)))
    assert max(call.started for call in backend.calls) < min(
        call.finished or 0 for call in backend.calls
    )


async def test_cancelling_frees_the_place() -> None:
    backend = FakeBackend(max_batch=1, latency=100.0)
    running = [asyncio.create_task(ask(backend, name)) for name in ("one", "two", "three")]
    while not backend.calls:
        await asyncio.sleep(0)
    for task in running[:2]:
        task.cancel()
    while len(backend.calls) < 2:
        await asyncio.sleep(0)
    assert [call.text for call in backend.calls] == ["one", "three"]
    assert backend.calls[0].finished is None
    running[2].cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_errors_on_request_death_and_close() -> None:
    def fail(request: Request | ScoreRequest) -> Exception | None:
        return OSError("flaky") if request.label == "bad" else None

    backend = FakeBackend(fail=fail, context=50)
    with pytest.raises(OSError, match="flaky"):
        await ask(backend, label="bad", max_tokens=4)
    with pytest.raises(PromptTooLongError, match=r"needs 51 tokens.*context of 50"):
        await ask(backend, TokenPrompt((300,) * 50), max_tokens=1)
    cut = await ask(backend, TokenPrompt((300,) * 40), max_tokens=42, min_tokens=42)
    assert cut.finish == "length" and len(cut.ids) == 10, "the context is full"
    assert (await ask(backend, max_tokens=4)).text
    dying = FakeBackend(die_after=2, latency=1.0)
    results = await asyncio.gather(
        *(ask(dying, f"q{number}") for number in range(4)), return_exceptions=True
    )
    assert all(isinstance(result, BackendDiedError) for result in results), "in flight ones too"
    await backend.close()
    await backend.close()
    with pytest.raises(BackendDiedError, match="it was closed"):
        await ask(backend, max_tokens=4)
    with pytest.raises(BackendDiedError):
        await backend.prefill(TokenPrompt((300,)))


async def test_streams_come_in_pieces() -> None:
    backend = FakeBackend(reply=lambda _: "word " * 30)
    request = Request(prompt=prompt_of(backend, "x"), sampling=Sampling(max_tokens=99))
    deltas = [delta async for delta in backend.generate(request)]
    assert len(deltas) > 3 and all(d.finish is None and d.usage is None for d in deltas[:-1])
    assert deltas[-1].finish == "stop" and deltas[-1].usage is not None
    for delta in deltas:
        assert backend.tokenizer.decode(delta.ids) == delta.text
    empty = FakeBackend(reply=[""])
    assert (await ask(empty)).text == ""


def test_options_of_a_spec() -> None:
    backend = FakeBackend.from_options({"context": "77", "latency": "0.5", "name": "twin"})
    assert backend.profile().context == 77 and backend.name == "twin"
    with pytest.raises(BackendError, match="no option 'speed'"):
        FakeBackend.from_options({"speed": "1"})
    with pytest.raises(BackendError, match="not a number"):
        FakeBackend.from_options({"context": "many"})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=12).map(tuple), max_size=20))
def test_the_prefix_tree_counts_like_its_naive_twin(sequences: list[tuple[int, ...]]) -> None:
    tree = PrefixTree(10_000)
    known: set[tuple[int, ...]] = {()}
    for ids in sequences:
        want = max(n for n in range(len(ids) + 1) if ids[:n] in known)
        assert tree.insert(ids) == want
        known.update(ids[:n] for n in range(len(ids) + 1))
        tree.check()
    assert tree.size == len(known) - 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9).map(tuple), max_size=40))
def test_the_prefix_tree_stays_within_its_bound(sequences: list[tuple[int, ...]]) -> None:
    tree = PrefixTree(20)
    for ids in sequences:
        tree.insert(ids)
        tree.check()
        assert tree.size <= 20


async def test_the_gate_gives_a_cancelled_turn_on() -> None:
    gate = Gate(1)
    await gate.enter(0)
    waiting = [asyncio.create_task(gate.enter(priority)) for priority in (2.0, 1.0)]
    await asyncio.sleep(0)
    gate.leave()  # gives the turn to the first, which is cancelled before it takes it
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert waiting[0].cancelled() and not waiting[1].cancelled() and gate.inside == 1
