"""The shipped demo model, loaded by plain transformers on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from examples.demo_world.answerer import Answerer  # noqa: E402
from examples.demo_world.cases import TASKS, Task, make_cases  # noqa: E402
from examples.demo_world.evaluate import count  # noqa: E402
from examples.demo_world.ways import answer  # noqa: E402
from ramify.demo.world import facts_right, load_questions, load_towns, model_path  # noqa: E402


@pytest.fixture(scope="module")
def answerer() -> Iterator[Answerer]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Answerer(model_path())
    torch.set_num_threads(threads)


def test_folder_is_small_and_bf16(answerer: Answerer) -> None:
    assert sum(path.stat().st_size for path in model_path().iterdir()) <= 12 * 1024**2
    assert answerer.model.config.dtype in (torch.bfloat16, torch.float32)
    assert answerer.model.config.max_position_embeddings >= 1024
    assert 2e6 <= sum(p.numel() for p in answerer.model.parameters()) <= 6e6


@pytest.mark.parametrize("task", TASKS[:2], ids=lambda task: task.name)
def test_level_1_on_forty_unseen_cases(answerer: Answerer, task: Task) -> None:
    cases = make_cases(task, 11, 40)
    result = count(task, cases, answer(answerer, task, cases))
    assert result.right >= 36, f"{result.right} of 40 right: the shipped model is a bad one"


def test_shipped_questions_over_their_passage(answerer: Answerer) -> None:
    towns = {town.id: town for town in load_towns()}
    questions = [one for one in load_questions() if one.kind == "single"][:20]
    chats = [
        [{"role": "user", "content": f"[1] {towns[one.towns[0]].text}\n\n{one.question}"}]
        for one in questions
    ]
    answers = answerer.ask(chats)
    right = sum(
        facts_right(answer, one.facts) for answer, one in zip(answers, questions, strict=True)
    )
    assert right >= 18
