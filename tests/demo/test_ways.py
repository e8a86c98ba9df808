"""The ways of answering, with a model that is always right or always talks nonsense."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from examples.demo_world import forms, ways  # noqa: E402
from examples.demo_world.answerer import Answerer, Chat  # noqa: E402
from examples.demo_world.cases import TASKS, make_cases  # noqa: E402
from examples.demo_world.evaluate import count, read, write  # noqa: E402
from ramify.demo import requests  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402

BY_NAME = {task.name: task for task in TASKS}


class Scripted(Answerer):
    """Answers from `script` (last message of the chat, prompt) instead of a model."""

    def __init__(self, script: Any) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model_path())
        self.script, self.end, self.asked = script, self.tokenizer.eos_token_id, []

    def ask(self, chats: list[Chat], tokens: int = 32) -> list[str]:
        self.asked += chats
        return [self.script(chat) for chat in chats]

    def write(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        return [self.script(prompt) for prompt in prompts]


def test_a_comparison_by_graph_asks_two_towns_and_joins_what_it_knows() -> None:
    task = BY_NAME["comparison by graph"]
    (case,) = make_cases(task, 3, 1)

    def script(chat: Chat) -> str:
        last = chat[-1]["content"]
        if last == requests.PLAN:
            one, two = case.question.split(", ")[1].rstrip("?").split(" or ")
            ask = "What is the founding year of {}?"
            return forms.plan_text(
                [
                    forms.part(1, ask.format(one), [], 1, 24),
                    forms.part(2, ask.format(two), [], 1, 24),
                    forms.part(3, case.question, [1, 2], 2, 16),
                ]
            )
        if last.startswith(requests.KNOWN):
            assert len(chat) == 2 and last.count("\n- ") == 2 and last.endswith(case.question)
            return case.answer
        assert last.split(" of ")[1].rstrip("?") in chat[-2]["content"]
        return "The founding year is 1200 [1]."

    answers = ways.answer(Scripted(script), task, [case])
    assert answers == [case.answer] and count(task, [case], answers).right == 1


def test_two_steps_find_the_second_passage_by_the_first_answer() -> None:
    task = BY_NAME["two-step question by graph"]
    (case,) = make_cases(task, 3, 1)
    right = case.passages[int(case.answer[-3]) - 1]

    def script(chat: Chat) -> str:
        last = chat[-1]["content"]
        if last == requests.PLAN:
            place = case.question.split(" of ", 1)[1].rstrip("?")
            first = forms.part(1, f"Which is {place}?", [], 1, 24)
            return forms.plan_text([first, forms.part(2, "And that town's fact?", [1], 1, 24)])
        assert chat[-2]["content"] == right
        return case.answer

    assert ways.answer(Scripted(script), task, [case]) == [case.answer]


def test_plans_and_steps_fit_what_they_are_given() -> None:
    size = Scripted(None).tokenizer
    rng = random.Random(5)
    for _ in range(200):
        task = forms.some_task(rng, "test")
        assert len(size.encode(task.plan())) < ways.PLAN_TOKENS
        assert len(size.encode(task.answer)) < ways.STEP_TOKENS


def test_no_plan_is_a_wrong_answer() -> None:
    task = BY_NAME["comparison by graph"]
    cases = make_cases(task, 3, 2)
    assert ways.answer(Scripted(lambda chat: "I do not know."), task, cases) == ["", ""]


def test_children_go_on_behind_their_fork() -> None:
    task = BY_NAME["description by fork tokens"]
    (case,) = make_cases(task, 3, 1)
    seen: list[list[int]] = []

    def script(prompt: list[int]) -> list[int]:
        fork, child = model.token(requests.FORK), model.token(requests.CHILD)
        heading = model.tokenizer.encode(" 1. River", add_special_tokens=False)
        if prompt[-1] != child:
            return [*heading, fork, *heading, fork]
        seen.append(prompt)
        return model.tokenizer.encode(f" detail {prompt.count(fork)}", add_special_tokens=False)

    model = Scripted(script)
    assert ways.answer(model, task, [case]) == ["detail 1 detail 2"]
    start = len(model.encode(case.messages))
    assert [len(prompt) > start and prompt[-1] for prompt in seen] == [
        model.token(requests.CHILD)
    ] * 2


def test_what_does_not_fit_is_refused_by_name() -> None:
    model = Answerer(model_path())
    with pytest.raises(ValueError, match=r"prompt of 2060 tokens .* context of 2048"):
        model.write([[7] * 2060], 8)
    with pytest.raises(ValueError, match=r"no control token '<\|robot\|>'.*<\|user\|>"):
        model.encode([{"role": "robot", "content": "Hello."}])


def test_tokenizer_and_weights_of_different_versions_are_refused(tmp_path: Path) -> None:
    shutil.copytree(model_path(), tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    kept = json.loads(path.read_text())
    last = kept["model"]["merges"].pop()
    del kept["model"]["vocab"]["".join(last if isinstance(last, list) else last.split(" "))]
    path.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"has 1279 tokens, its weights 1280"):
        Answerer(tmp_path / "model")


def test_counts_are_written_and_read(tmp_path: Path) -> None:
    task = BY_NAME["description, one passage (facts)"]
    cases = make_cases(task, 3, 2)
    counts = [count(task, cases, [cases[0].answer, ""])]
    assert counts[0].whole == counts[0].right == 1 and counts[0].facts == len(cases[0].facts)
    write(tmp_path / "counts.json", counts)
    assert read(tmp_path / "counts.json") == counts
