"""Skeleton graphs: what each part sees, who goes first, who answers, and what fails with whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ramify as rf
from ramify.backend.contract import Request, ScoreRequest
from ramify.errors import ProgramError
from tests.dsl.patterns.calls import last, names, shared, side_by_side

graph = rf.patterns.skeleton_graph


def part(number: int, *needs: int, difficulty: int = 4, tokens: int = 16) -> dict[str, Any]:
    return {"id": number, "question": f"Q{number}?", "needs": needs, "difficulty": difficulty,
            "tokens": tokens}  # fmt: skip


def reply(*parts: dict[str, Any]) -> Any:
    def answer(prompt: str) -> str:
        request = last(prompt)
        if "Split this into sub-questions" in request:
            return json.dumps({"parts": parts})
        if "Answer only this sub-question" in request:
            return f" A{request.rpartition('Q')[2].rstrip('?')}."
        return "The end."

    return answer


CHAIN = (part(1), part(2), part(3, 1), part(4, 2, 3))


def test_parts_see_the_question_and_the_answers_that_they_need() -> None:
    backend = rf.FakeBackend(reply=reply(*CHAIN))
    result = graph.run("Why?", backend=backend)
    assert result.text == "The end." and not result.notes
    calls = {name: call for name, call in zip(names(backend.calls), backend.calls, strict=True)}
    assert names(backend.calls) == ["plan", "part1", "part2", "part3", "part4", "answer"]
    assert side_by_side([calls["part1"], calls["part2"]])
    seen = {name: {n for n in "1234" if f"A{n}." in call.text} for name, call in calls.items()}
    assert seen == {"plan": set(), "part1": set(), "part2": set(), "part3": {"1"},
                    "part4": {"2", "3"}, "answer": {"4"}}  # fmt: skip
    assert "Split this" not in calls["part3"].text  # nobody reads the plan
    assert shared(backend.calls) >= len(backend.tokenizer.encode("Why?"))
    assert last(calls["part4"].text).startswith("What is known:\n- Q2? A2.\n- Q3? A3.\n\nAnswer")


def test_the_longest_chain_of_promises_goes_first() -> None:
    parts = (part(1, tokens=8), part(2, tokens=90), part(3, tokens=20), part(4, 3, tokens=100))
    backend = rf.FakeBackend(reply=reply(*parts), max_batch=1)
    graph.run("Why?", backend=backend)
    assert names(backend.calls)[:2] == ["plan", "part3"]
    order = sorted(backend.calls[1:], key=lambda call: -call.priority)
    assert names(order) == ["part3", "part4", "part2", "part1", "answer"]


def test_easy_parts_go_to_the_small_model() -> None:
    large = rf.FakeBackend(reply=reply(part(1, difficulty=2), part(2, 1, difficulty=3)))
    small = rf.FakeBackend(reply=reply())
    graph.run("Why?", small="small", backend={"large": large, "small": small, "": large})
    assert names(large.calls) == ["plan", "part2", "answer"]
    assert names(small.calls) == ["part1"]


def broken(text: str) -> Any:
    def fail(request: Request | ScoreRequest) -> Exception | None:
        return ValueError("broken") if request.label.endswith(text) else None

    return fail


def test_a_failed_part_takes_only_its_descendants_with_it() -> None:
    parts = (part(1), part(2), part(3, 1), part(4, 3), part(5, 2))
    backend = rf.FakeBackend(reply=reply(*parts), fail=broken("part1"))
    result = graph.run("Why?", backend=backend, policy=rf.Policy(on_error="keep"))
    assert result.text == "The end."
    assert names(backend.calls) == ["plan", "part2", "part5", "answer"]
    assert "A5." in backend.calls[-1].text and "Q4" not in backend.calls[-1].text
    assert "without: Q4?" in "; ".join(result.notes)
    failed = {error.where.node for error in result.errors}
    assert {name for name in failed if name.startswith("part")} == {"part1", "part3", "part4"}
    with pytest.raises(rf.RamifyError, match=r"node 'part1'.*broken"):
        graph.run("Why?", backend=rf.FakeBackend(reply=reply(*parts), fail=broken("part1")))


def test_when_every_part_failed_so_does_the_answer() -> None:
    backend = rf.FakeBackend(reply=reply(part(1), part(2, 1)), fail=broken("part1"))
    with pytest.raises(rf.RamifyError, match="node 'answer': not run"):
        graph.run("Why?", backend=backend, policy=rf.Policy(on_error="keep"))


def test_bad_plans_are_mended_refused_or_answered_plainly() -> None:
    cycle = (part(1, 2), part(2, 1))
    backend = rf.FakeBackend(reply=reply(*cycle))
    result = graph.run("Why?", backend=backend)
    assert names(backend.calls) == ["plan", "part1", "part2", "answer"]
    assert "parts need each other (1 > 2 > 1)" in "; ".join(result.notes)
    with pytest.raises(ProgramError, match="cannot be used as it is: parts need each other"):
        graph.run("Why?", on_bad_plan="refuse", backend=rf.FakeBackend(reply=reply(*cycle)))
    backend = rf.FakeBackend(reply=reply(part(1)))
    result = graph.run("Why?", backend=backend)
    assert names(backend.calls) == ["plan", "answer"]
    assert "plain answer: the plan has 1 parts" in "; ".join(result.notes)
    assert backend.calls[1].text.endswith("Why?<|end|><|assistant|>")


def test_more_parts_than_the_limit_are_left_out() -> None:
    backend = rf.FakeBackend(reply=reply(*(part(i) for i in range(1, 31))))
    result = graph.run("Why?", limit=3, plan_tokens=4000, backend=backend)
    assert names(backend.calls) == ["plan", "part1", "part2", "part3", "answer"]
    assert "30 parts, the first 3 are answered" in "; ".join(result.notes)


def test_organize_graph_is_the_pattern() -> None:
    @rf.program
    def answer(s: rf.State) -> Any:
        s += rf.user("Why?")
        s += rf.assistant(rf.gen("answer", organize="graph", max_tokens=32))
        return s["answer"]

    backend = rf.FakeBackend(reply=reply(*CHAIN))
    assert answer.run(backend=backend).text == "The end."
    assert names(backend.calls) == ["plan", "part1", "part2", "part3", "part4", "answer"]
