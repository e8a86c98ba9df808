"""Vectors in prompts against transformers' `inputs_embeds`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import torch

from ramify.backend.collect import collect
from ramify.backend.contract import BlockSpan, Request, ScoreRequest, TokenPrompt, VectorSpan
from ramify.backend.radix import RadixBackend
from ramify.backend.radix.families import vector_width
from ramify.backend.radix.find_rope import find_rope
from ramify.backend.radix.jobs import Generation, Scoring
from ramify.backend.radix.sampler import Row, choose
from ramify.backend.radix.vectors import VectorKeys, check_vectors
from ramify.errors import BackendError, CapabilityError
from ramify.ir import Vectors
from ramify.ir.sampling import Sampling
from tests.backend.radix.harness import (
    CPU,
    Fused,
    Sunk,
    engine_for,
    generation,
    keyed,
    load,
    plain,
    run,
)
from tests.backend.radix.models import FAMILIES, VOCAB, config, tiny

FUSED = ("llama", "mistral", "qwen2", "qwen3")
WIDTH = 64


def soft(seed: int, count: int = 9) -> Vectors:
    return Vectors.of(np.random.default_rng(seed).normal(0, 0.3, (count, WIDTH)))


def prompt(*pieces: Any) -> TokenPrompt:
    """Token ids and vectors in order."""
    ids: list[int] = []
    spans = []
    for piece in pieces:
        if isinstance(piece, Vectors):
            spans.append(VectorSpan(len(ids), piece))
            ids += [0] * piece.count
        else:
            ids += piece
    return TokenPrompt(tuple(ids), vectors=tuple(spans))


def words(seed: int, count: int) -> list[int]:
    return np.random.default_rng(100 + seed).integers(3, VOCAB, count).tolist()


@torch.inference_mode()
def embeds(family: str, asked: TokenPrompt) -> torch.Tensor:
    table = plain(family).get_input_embeddings()
    found = table(torch.tensor([asked.ids])).detach().clone()
    for span in asked.vectors:
        found[0, span.start : span.stop] = torch.from_numpy(span.vectors.array().copy())
    return found


def wanted(family: str, asked: TokenPrompt, n: int) -> list[int]:
    """What transformers' `generate` answers to the embedded prompt."""
    found = embeds(family, asked)
    with torch.inference_mode():
        out = plain(family).generate(
            inputs_embeds=found, attention_mask=torch.ones(1, found.shape[1]).long(),
            max_new_tokens=n, do_sample=False, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    return out[0].tolist()


def job(asked: TokenPrompt, n: int = 6, **options: Any) -> Generation:
    return generation(asked.ids, n, vectors=asked.vectors, **options)


@pytest.mark.parametrize(
    ("family", "fused"),
    [*((f, False) for f in FAMILIES), *((f, True) for f in FUSED), ("llama", "native")],
)
def test_answers_and_scores_are_those_of_inputs_embeds(family: str, fused: Fused) -> None:
    """In chunks that cut the vectors, with a sibling that shares them."""
    trunk = [words(0, 11), soft(1, 20), words(1, 5)]
    asked = [prompt(*trunk), prompt(*trunk, soft(2, 3), words(2, 4)), prompt(soft(1, 20))]
    engine = engine_for(family, fused=fused, budget=13, max_batch=4)
    jobs = [job(one) for one in asked]
    score = Scoring(ScoreRequest(prompt=keyed(asked[1]), continuations=((7, 8, 9),)), Sunk())
    for one in (*jobs, score):
        engine.submit(one)
    run(engine, check=True)
    assert [one.sink.ids for one in jobs] == [wanted(family, one, 6) for one in asked]
    full = embeds(family, prompt(*trunk, soft(2, 3), words(2, 4), [7, 8]))
    with torch.inference_mode():
        logits = plain(family)(inputs_embeds=full, use_cache=False).logits[0, -3:]
    want = logits.log_softmax(-1)[torch.arange(3), torch.tensor([7, 8, 9])]
    got = torch.tensor(score.sink.items[-1].logprobs[0])
    assert (got - want).abs().max() < 1e-5


def test_equal_vectors_share_and_others_never_do() -> None:
    engine = engine_for("llama", fused=True)
    changed = soft(1).array().copy()
    changed[4, 7] += 1e-6
    head, tail = words(0, 5), words(1, 3)

    def cached(middle: Any, **options: Any) -> int:
        asked = prompt(head, middle, tail)
        one = job(asked, 1, **options)
        engine.submit(one)
        run(engine, check=True)
        assert one.sink.ids == wanted("llama", asked, 1)
        return int(one.sink.items[-1].usage.cached_tokens)

    assert cached(soft(1)) == 0
    assert cached(soft(1)) == 5 + 9 + 2
    assert cached(Vectors.of(soft(1).array().copy())) == 5 + 9 + 2
    assert cached(Vectors.of(changed)) == 5 + 4  # up to the vector that differs
    assert cached(soft(2)) == 5
    assert cached([0] * 9) == 5  # the ids that stand in for vectors are not tokens
    assert cached(soft(1), salt="other") == 0
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.slots.used == 0


@pytest.mark.parametrize("cache", [True, False])
def test_a_small_pool_evicts_and_preempts_and_changes_nothing(cache: bool) -> None:
    trunk = [words(3, 8), soft(3, 25)]
    asked = [prompt(*trunk, words(i, 4), soft(i, 6)) for i in range(6)]
    asked += [prompt(soft(9, 20), words(9, 20)), prompt(*trunk)]
    engine = engine_for("llama", slots=90, cache=cache, budget=17, fused=True)
    jobs = [job(one, 25) for one in asked]
    for one in jobs:
        engine.submit(one)
        engine.step()
        engine.check()
    run(engine, check=True)
    assert [one.sink.ids for one in jobs] == [wanted("llama", one, 25) for one in asked]
    if cache:
        assert engine.scheduler.preempted > 0 and engine.scheduler.cache.tree.evicted > 0


def test_vectors_in_parallel_blocks() -> None:
    """The embeddings of tokens as vectors are read as these tokens, in blocks and behind them."""
    table = plain("llama").get_input_embeddings().weight.detach()
    ids = words(7, 50)
    blocks = (BlockSpan(10, 22, 0), BlockSpan(22, 37, 0, 3), BlockSpan(37, 42, 0))
    spans = tuple(VectorSpan(at, Vectors.of(table[ids[at : at + 4]])) for at in (3, 11, 22, 30, 44))
    answers = []
    for vectors in ((), spans, spans):
        engine = engine_for("llama", budget=9, fused=True)
        engine.model.rope = find_rope(load("llama"), engine.model.body, context=512, device=CPU)
        asked = keyed(TokenPrompt(tuple(ids), blocks, vectors))
        one = generation(asked.ids, 8, blocks=blocks, vectors=vectors)
        engine.submit(one)
        run(engine, check=True)
        answers.append(one.sink.ids)
    assert answers[0] == answers[1] == answers[2] and len(answers[0]) == 8


def test_penalties_do_not_speak_of_vectors() -> None:
    ids, middle = words(5, 6), soft(5, 4)
    asked = keyed(prompt(ids, middle))
    row = Row(Sampling(repetition_penalty=2.0), 0, prompt=np.array(asked.ids))
    logits = torch.ones(1, VOCAB)
    logits[0, ids] = 1.5
    logits[0, -1] = 1.1  # the last token is what the number of a vector would point at
    (choice,) = choose(logits, [row])
    assert choice.token == VOCAB - 1 and VOCAB - 1 not in ids


def test_a_number_that_is_forgotten_is_never_given_again() -> None:
    keys = VectorKeys(kept=8)
    first = keys.keyed(prompt([7], soft(1, 6))).ids[1:]
    assert keys.keyed(prompt(soft(1, 6))).ids == first == (-1, -2, -3, -4, -5, -6)
    keys.keyed(prompt(soft(2, 8)))
    again = keys.keyed(prompt(soft(1, 6))).ids
    assert not {*again} & {*first} and max(again) < min(first)


def test_models_whose_layers_look_tokens_up_take_none() -> None:
    class Model:
        config = config("llama")

        def get_input_embeddings(self) -> Any:
            return torch.nn.Embedding(8, 6)

    assert vector_width(Model()) == 6
    Model.config.hidden_size_per_layer_input = 16
    assert vector_width(Model()) == 0
    with pytest.raises(CapabilityError, match="'m' takes no vectors"):
        check_vectors(prompt(soft(1)), 0, "", "m", "")


@pytest.fixture
async def backend() -> AsyncIterator[RadixBackend]:
    opened = RadixBackend.open(tiny("llama"), pool_tokens=600, threads=1)
    yield opened
    await opened.close()


async def test_vectors_that_do_not_fit_are_refused(backend: RadixBackend) -> None:
    assert backend.capabilities.embeddings_in

    async def ask(asked: TokenPrompt) -> list[int]:
        sampling = Sampling(max_tokens=5, ignore_end=True)
        request = Request(prompt=asked, sampling=sampling, label="p/soft")
        return (await collect(backend.generate(request))).ids

    narrow = Vectors.of(np.zeros((3, 32)))
    with pytest.raises(BackendError, match=r"'p/soft'.*32 wide.*reads vectors of 64"):
        await ask(prompt(words(0, 4), narrow))
    good = VectorSpan(2, soft(1))
    for spans in [(VectorSpan(5, soft(1)),), (VectorSpan(-1, soft(1)),), (good, good)]:
        with pytest.raises(BackendError, match=r"outside of it, or over others"):
            await ask(TokenPrompt((7,) * 12, vectors=spans))
    with pytest.raises(BackendError, match="32 wide"):
        await backend.prefill(prompt(narrow))
    with pytest.raises(BackendError, match="32 wide"):
        await backend.score(ScoreRequest(prompt=prompt(narrow), continuations=((5,),)))
    asked = prompt(words(0, 4), soft(1), words(1, 2))
    assert (await backend.prefill(asked)).computed_tokens == 15
    assert await ask(asked) == wanted("llama", asked, 5)
