"""Joins on the embedded engine: branches are read, not computed again, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

import ramify as rf
from ramify.errors import ProgramError
from ramify.runtime import run_sync
from ramify.runtime.agreement import divergence

pytest.importorskip("torch")

from ramify.backend.radix import RadixBackend
from tests.backend.radix.models import tiny

TOLD = rf.Policy(compare_joins=True)


@rf.program
def told(s: rf.State, mode: Any = "kv", repair: int = 0, end: str = "gen") -> Any:
    s += rf.user("Tell me of the river and the mill.")
    branches = s.fork(3)
    for number, branch in enumerate(branches):
        branch += rf.user(f"Story {number} of boats")
        branch += rf.assistant(rf.gen("story", max_tokens=12, ignore_end=True))
    s.join(branches, mode, repair=repair)
    s += rf.user("And the sea?")
    if end == "select":
        s += rf.assistant(rf.select("end", ["old", "a mill"]))
        return s["end"]
    s += rf.assistant(rf.gen("end", max_tokens=10, ignore_end=True))
    return s["end"]


@pytest.fixture(scope="module")
def llama() -> Iterator[RadixBackend]:
    backend = RadixBackend.open(tiny("llama"), dtype="float32", threads=1)
    yield backend
    run_sync(backend.close())


def last(result: rf.Result) -> Any:
    """The account of the node behind the join."""
    return result.accounts[max(result.accounts)]


def test_a_join_reads_what_its_branches_computed(llama: RadixBackend) -> None:
    run_sync(llama.clear_cache())
    read = {}
    for mode in ("text", "kv"):
        result = told.run(mode=mode, backend=llama)
        read[mode] = last(result)
        again = told.run(mode=mode, backend=llama)
        assert again.text == result.text
        assert last(again).computed_tokens == 1, "the second time all of it is known"
    assert read["kv"].prompt_tokens == read["text"].prompt_tokens
    story = llama.renderer.count_text("Story 1 of boats") + 11  # of an answer all but the last
    assert read["text"].computed_tokens - read["kv"].computed_tokens >= 2 * story


def test_agreement_is_reported_on_request(llama: RadixBackend) -> None:
    silent = told.run(backend=llama)
    assert silent.joins == ()
    result = told.run(backend=llama, policy=TOLD)
    (found,) = result.joins
    assert result.text == silent.text and result.usage.prompt_tokens == silent.usage.prompt_tokens
    assert (found.node, found.blocks, found.tokens) == ("told/end", 3, 10)
    text = told.run(mode="text", backend=llama, policy=TOLD)
    assert text.joins == ()
    assert (found.agree == 10) == (text.text == result.text)
    assert found.kl is not None and found.kl > 1e-4, "random weights: the blocks do matter"
    assert str(found) in last(result).note and str(found) in result.explain()


def test_repair_brings_a_join_to_the_text_join(llama: RadixBackend) -> None:
    (whole,) = told.run(repair=1000, backend=llama, policy=TOLD).joins
    assert whole.agree == whole.tokens == 10
    assert whole.kl == pytest.approx(0, abs=1e-5)
    run_sync(llama.clear_cache())
    plain = last(told.run(backend=llama)).computed_tokens
    repaired = last(told.run(repair=2, backend=llama)).computed_tokens
    assert repaired == plain - 3 + 2 * 2, "the last tokens of three blocks are known by now"


def test_what_cannot_be_repaired_is_refused() -> None:
    for mode, repair in (("text", 4), ("kv", -1)):
        with pytest.raises(ProgramError, match=f"repair={repair} is not allowed"):
            told.compile(mode=mode, repair=repair)


@pytest.mark.parametrize("end", ["gen", "select"])
def test_models_that_cannot_read_the_text_and_say_why(end: str) -> None:
    backend = RadixBackend.open(tiny("gpt2"), name="old", threads=1)
    assert not backend.capabilities.parallel_blocks
    result = told.run(end=end, backend=backend, policy=TOLD)
    note = "old reads joined blocks as text: gpt2 cannot read parallel blocks: its positions are l"
    assert note in last(result).note and result.joins == ()
    assert result.text == told.run(mode="text", end=end, backend=backend).text
    run_sync(backend.close())


def test_passages_are_read_again_in_any_order(llama: RadixBackend) -> None:
    @rf.program
    def asked(s: rf.State, passages: list[str], question: str, late: bool) -> Any:
        known = rf.call(lambda: passages) if late else passages
        s += rf.system("Answer from the passages.")
        s += rf.user(rf.blocks(known, write=lambda passage: f"- {passage}\n"), question)
        s += rf.assistant(rf.gen("answer", max_tokens=6, ignore_end=True))
        return [s["answer"], s.text()]

    run_sync(llama.clear_cache())
    one, two, three = "The mill is old.", "A man sat there.", "Boats ran past the sea."
    first = asked.run([one, two, three], "Who?", False, backend=llama)
    assert f"User: - {one}\n- {two}\n- {three}\nWho?\n" in first.value[1]
    computed = max(account.computed_tokens for account in first.accounts.values())
    new = llama.renderer.count_text("Where is the sea?")
    for passages, late in (([three, one], True), ([two, three, one], False), ([two], True)):
        again = asked.run(passages, "Where is the sea?", late, backend=llama)
        assert max(a.computed_tokens for a in again.accounts.values()) <= new + 12 < computed


def test_divergence_of_distributions() -> None:
    p, q = {1: math.log(0.5), 2: math.log(0.5)}, {1: math.log(0.25), 2: math.log(0.75)}
    want = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    assert divergence(p, q) == pytest.approx(want)
    assert divergence(p, p) == 0
    some = {1: math.log(0.5)}, {1: math.log(0.25), 2: math.log(0.7)}
    assert 0 < divergence(*some) <= want + 1e-9, "of the likeliest tokens: a lower bound"
