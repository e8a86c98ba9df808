"""The small patterns: which calls, on what prompt, in which order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramify as rf
from ramify.backend.contract import Delta, Request
from ramify.dsl.patterns.self_consistency import decided, majority
from ramify.errors import ProgramError
from tests.dsl.patterns.calls import last, names, shared, side_by_side

patterns = rf.patterns


_seed = ContextVar("_seed", default=-1)


class Seeded(rf.FakeBackend):
    """Answers by seed: `said[seed]`; None never comes to an end."""

    def __init__(self, said: dict[int, str | None], **options: Any) -> None:
        super().__init__(reply=self._say, **options)
        self.said = said

    def _say(self, prompt: str) -> str:
        return self.said.get(_seed.get(), "done") or "done"

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        seed = request.sampling.seed
        if seed is not None and self.said.get(seed, "") is None:
            await asyncio.Event().wait()
        _seed.set(seed if request.sampling.temperature and seed is not None else -1)
        async for delta in super().generate(request):
            yield delta


def test_self_consistency_stops_when_the_vote_is_decided() -> None:
    said = {0: "so\n4", 1: "thus\n4", 2: "hm\n5", 3: "well\n4", 4: None}
    backend = Seeded(said)
    result = patterns.self_consistency.run("2 + 2?", paths=5, seed=0, backend=backend)
    assert result.text == "4"  # three of five: what hangs cannot change it, and is cancelled
    assert names(backend.calls) == ["path"] * 4
    assert shared(backend.calls) == backend.calls[0].tokens
    whole = patterns.self_consistency.run(
        "2 + 2?", paths=4, seed=0, early=False, backend=Seeded({**said, 4: "4"})
    )
    assert whole.text == "4" and len(whole["paths"]) == 4


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=7), st.integers(0, 7))
def test_a_decided_vote_is_never_turned(votes: list[str], at: int) -> None:
    some = votes[: at % len(votes) + 1]
    if decided(some, len(votes) - len(some)):
        assert majority(some) == majority(votes)
    assert majority(votes) == majority(votes[::-1])


def test_first_k_goes_on_without_the_slow() -> None:
    backend = Seeded({0: None, 1: "one", 2: None, 3: "three"})
    result = patterns.first_k.run("Why?", asked=4, k=2, backend=backend)
    assert result.text == "done"
    assert names(backend.calls) == ["draft", "draft", "answer"]
    answer = backend.calls[-1].text
    assert answer.index("one") < answer.index("three") < answer.index("Write one answer")


def test_best_of_n_judges_each_answer_on_its_own_branch() -> None:
    backend = Seeded({0: "bad", 1: "good", 2: "worse"})
    grades = {"bad": 1.0, "good": 3.0, "worse": 0.0}
    result = patterns.best_of_n.run("Why?", n=3, judge=grades.__getitem__, backend=backend)
    assert result.text == "good" and names(backend.calls) == ["answer"] * 3
    backend = Seeded({0: "bad", 1: "good", 2: "worse"})
    patterns.best_of_n.run("Why?", n=3, backend=backend)
    kinds = [call.kind for call in backend.calls]
    assert sorted(kinds) == ["generate"] * 3 + ["score"] * 3
    assert side_by_side(backend.calls[:3])
    for call in backend.calls:
        if call.kind == "score":  # the answer is known: only the request is computed
            assert call.tokens - call.cached < 30 and "good answer" in call.text


def test_debate_lets_agents_read_each_other() -> None:
    backend = Seeded({0: "red", 1: "blue", 2: "still red", 3: "red too"})
    result = patterns.debate.run("Colour?", agents=2, rounds=2, backend=backend)
    assert result.text == "done"
    calls = backend.calls
    assert names(calls) == ["round0", "round0", "round1", "round1", "answer"]
    assert side_by_side(calls[:2]) and side_by_side(calls[2:4])
    by_label = {call.label: call for call in calls}
    for agent, heard in enumerate(("blue", "red")):
        before = by_label[f"debate[{agent}]/round0"]
        after = by_label[f"debate[{agent}]/round1"]
        assert f"Others say:\n{heard}\n" in after.text
        assert after.text.startswith(before.text + before.answer)
        assert after.cached >= before.tokens
    assert "still red\nred too" in calls[4].text and "blue" not in calls[4].text


def by_request(**said: str) -> Any:
    """Replies by a word of the last message."""

    def answer(prompt: str) -> str:
        request = last(prompt)
        return next((text for word, text in said.items() if word in request), "ok")

    return answer


def test_sub_calls_see_their_task_and_nothing_else() -> None:
    plans = iter([json.dumps(["Count A", "Count B"]), "[]"])
    backend = rf.FakeBackend(
        reply=lambda p: next(plans) if "hand" not in p and "Name the tasks" in last(p)
        else by_request(A="3", B="4", Now="7")(p)
    )  # fmt: skip
    result = patterns.sub_calls.run("How many of a secret kind?", rounds=3, backend=backend)
    calls = backend.calls
    assert names(calls) == ["tasks0", "result", "result", "tasks1", "answer"]
    assert side_by_side(calls[1:3])
    assert all("secret" not in call.text for call in calls[1:3])
    assert calls[1].text.startswith("<|start|><|user|>Count A\n")
    assert "Results:\nCount A: 3\nCount B: 4" in calls[3].text
    assert "Give the result only" not in calls[3].text
    assert calls[3].text.startswith(calls[0].text + calls[0].answer)
    assert result.text == "7"


@pytest.mark.parametrize("parallel", [False, True])
def test_plan_execute_joins_what_its_steps_wrote(parallel: bool) -> None:
    plans = iter([json.dumps(["Dig", "Carry"]), json.dumps(["Build"]), "[]"])
    backend = rf.FakeBackend(
        reply=lambda p: next(plans) if "Name the next steps" in last(p)
        else by_request(Dig="DUG", Carry="TAKEN", Build="built", Now="a house")(p),
        parallel=parallel,
    )  # fmt: skip
    result = patterns.plan_execute.run("A house?", rounds=5, join="kv", backend=backend)
    assert result.text == "a house"
    calls = backend.calls
    assert names(calls) == ["steps0", "done", "done", "steps1", "done", "steps2", "answer"]
    assert side_by_side(calls[1:3])
    assert calls[2].cached == shared(calls[1:3])
    assert calls[3].text.index("DUG") < calls[3].text.index("TAKEN")
    known = calls[1].tokens + len(backend.tokenizer.encode(calls[1].answer))
    assert (calls[3].cached > known + 3) == parallel  # else what follows one step is read again
    for before, after in pairwise([calls[0], calls[3], calls[5], calls[6]]):
        assert after.text.startswith(before.text)


def test_map_reduce_reads_documents_side_by_side() -> None:
    backend = rf.FakeBackend(reply=by_request(alpha="has a", beta="has b", Notes="both"))
    result = patterns.map_reduce.run(["alpha", "beta"], "What?", backend=backend)
    calls = backend.calls
    assert result.text == "both" and names(calls) == ["notes", "notes", "answer"]
    assert side_by_side(calls[:2]) and "Notes:\nhas a\nhas b" in calls[2].text
    assert "alpha" not in calls[2].text


def test_tree_of_thought_keeps_a_beam() -> None:
    backend = rf.FakeBackend()
    patterns.tree_of_thought.run("24?", depth=2, fan_out=3, beam=2, backend=backend)
    kinds = [(call.kind, name) for call, name in zip(backend.calls, names(backend.calls),
                                                     strict=True)]  # fmt: skip
    grown = [("generate", "step")] * 3 + [("score", "verdict")] * 3
    assert kinds[:6] == grown and kinds[-1] == ("generate", "answer")
    assert sorted(kinds[6:-1]) == sorted([("generate", "step")] * 6 + [("score", "verdict")] * 6)
    assert side_by_side(backend.calls[:3])


@pytest.mark.parametrize(
    "name", ["self_consistency", "first_k", "best_of_n", "debate", "sub_calls", "plan_execute",
             "skeleton_graph", "tree_of_thought"],
)  # fmt: skip
def test_an_empty_question_is_refused(name: str) -> None:
    with pytest.raises(ProgramError, match="empty question"):
        getattr(patterns, name).run(" \n", backend="fake:")
