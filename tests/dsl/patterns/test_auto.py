"""organize="auto": who is asked, what decides, and what is said."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import ramify as rf
from ramify.backend.contract import ScoreRequest, Scores
from ramify.dsl.patterns import auto
from ramify.errors import CapabilityError, ProgramError
from ramify.router import RouterMissingError, set_default_router
from ramify.runtime.load import counted, under_way
from tests.dsl.patterns.calls import names


class Sure:
    """A router that always says the same."""

    name = "sure"

    def __init__(self, chance: float) -> None:
        self.chance = chance
        self.asked: list[str] = []

    async def suits(self, question: str) -> float:
        self.asked.append(question)
        return self.chance


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    yield
    set_default_router("linear")
    auto._warn_once.cache_clear()


@rf.program
def answer(s: rf.State, tokens: int = 400) -> Any:
    s += rf.system("Be brief.")
    s += rf.user("First question?")
    s += rf.user("Why did towns grow?")
    s += rf.assistant(rf.gen("answer", organize="auto", max_tokens=tokens))
    return s["answer"]


@pytest.mark.parametrize(("chance", "split"), [(0.9, True), (0.5, False), (0.1, False)])
def test_the_router_decides_where_splitting_pays(chance: float, split: bool) -> None:
    router = Sure(chance)
    set_default_router(router)
    backend = rf.FakeBackend(reply={"List 3 to 10 points": '{"points":["Trade","Fish"]}'})
    result = answer.run(backend=backend)
    assert router.asked == ["Why did towns grow?"]
    assert names(backend.calls)[0] == ("skeleton" if split else "text")
    assert (len(backend.calls) == 1) != split
    said = f"{'skeleton' if split else 'sequential'}: the router gives it a chance of {chance:.2f}"
    assert said in result.explain() and not result.notes


def test_a_model_that_was_trained_to_fork_decides_by_itself() -> None:
    router = Sure(1.0)
    set_default_router(router)
    forks = rf.patterns.Forks("^", "~")

    @rf.program
    def forking(s: rf.State, forks: Any) -> Any:
        s += rf.user("Why did towns grow?")
        s += rf.assistant(rf.gen("answer", organize="auto", forks=forks, max_tokens=400))
        return s["answer"]

    def said(prompt: str) -> str:
        return " ships" if prompt.endswith("~") else "." if "^" in prompt else "Trade:^"

    backend = rf.FakeBackend(reply=said)
    assert forking.run(forks, backend=backend).text == "Trade: ships."
    with pytest.raises(CapabilityError, match=r"not trained to fork"):
        forking.run(rf.patterns.Forks(), backend=backend)
    assert not router.asked
    with pytest.raises(ProgramError, match="not to fork"):
        rf.gen("answer", forks=forks)


def test_short_answers_are_not_worth_asking_about() -> None:
    router = Sure(1.0)
    set_default_router(router)
    backend = rf.FakeBackend()
    result = answer.run(tokens=40, backend=backend)
    assert names(backend.calls) == ["text"] and not router.asked
    assert "write: sequential" in answer.explain(tokens=40, backend=backend)
    assert "too little" in result.explain()


def test_a_full_batch_is_not_split() -> None:
    router = Sure(1.0)
    set_default_router(router)
    backend = rf.FakeBackend()
    rows = [{"tokens": 400 + i} for i in range(24)]
    results = answer.run_batch(rows, backend=backend, explain=True)
    assert set(names(backend.calls)) == {"text"} and not results.failed
    assert "the batch is full: 23 under way" in results[0].explain()
    few = answer.run_batch(rows[:2], backend=rf.FakeBackend(), explain=True)
    assert "skeleton: the router" in few[0].explain()


def test_the_load_is_looked_at_again_when_the_run_comes_there() -> None:
    """The plan is made while the backend is idle; when the router has answered, it is busy."""
    backend = rf.FakeBackend()
    with ExitStack() as busy:

        class Slow(Sure):
            async def suits(self, question: str) -> float:
                for _ in range(12):
                    busy.enter_context(counted(backend))
                return 1.0

        set_default_router(Slow(1.0))
        result = answer.run(backend=backend)
    assert "8 branches if the router agrees" in result.explain()
    assert "sequential: the batch is full: 12 under way" in result.explain()
    assert under_way(backend) == 0


def test_without_a_router_it_is_sequential_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> Any:
        raise RouterMissingError("the router has no model file linear.json.", hint="Train it.")

    monkeypatch.setattr(auto, "default_router", none)
    backend = rf.FakeBackend()
    with pytest.warns(UserWarning, match="in one go: the router has no model file"):
        result = answer.run(backend=backend)
    assert names(backend.calls) == ["text"]
    assert any("there is no router" in note for note in result.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = answer.run(backend=backend)
    assert any("there is no router" in note for note in again.notes)


@pytest.mark.parametrize("letter", ["A", "B", "C"])
def test_the_prompt_router_reads_one_pass(letter: str) -> None:
    class Preferring(rf.FakeBackend):
        async def score(self, request: ScoreRequest) -> Scores:
            usage = (await super().score(request)).usage
            return Scores(
                tuple(
                    (-0.1 if self.tokenizer.decode(ids).strip() == letter else -5.0,)
                    for ids in request.continuations
                ),
                usage,
            )

    set_default_router("prompt")
    backend = Preferring()
    answer.run(backend=backend)
    route, following = backend.calls[:2]
    assert route.kind == "score" and route.text.startswith(following.text[:60])
    assert names(backend.calls)[1] == ("skeleton" if letter == "A" else "text")
