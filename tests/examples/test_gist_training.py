"""Training gist heads: rows of a file, the demo world, the run's checkpoints."""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import ramify as rf
from examples.demo_world.cases import TASKS, make_cases
from examples.demo_world.gist import Scenes
from examples.demo_world.gist_evaluate import ASKED, run, table, ways
from examples.demo_world.memory import draw, passages
from examples.demo_world.stages import FOUR, LEVEL1, Kind
from examples.demo_world.tasks import MAKERS
from examples.demo_world.tokenizer import VOCAB, Encoder
from examples.gist.__main__ import main
from examples.gist.rows import Rows, read_rows
from examples.gist.run import Plan, Run, shape_of
from examples.gist.worth import ANSWER, IGNORED, longest, pointing_loss, targets, worth
from ramify.backend.radix.gist.head import PLACE, Facts, load_head, save_head
from ramify.backend.radix.gist.resampler import Resampler, Shape
from ramify.backend.radix.saved import digest_of
from ramify.demo.world import model_path
from tests.backend.radix.models import tiny

TOKENS = st.lists(st.integers(0, 3), max_size=9)


@given(TOKENS, st.lists(TOKENS, max_size=3))
def test_longest_is_the_longest_common_run(part: list[int], answers: list[list[int]]) -> None:
    """Against all stretches of both."""
    best = 0
    for answer in answers:
        for a in range(len(part)):
            for b in range(a + 1, len(part) + 1):
                said = part[a:b]
                if any(answer[c : c + b - a] == said for c in range(len(answer))):
                    best = max(best, b - a)
    found = longest(part, answers)
    assert len(found) == best
    said = [part[at] for at in found]
    assert not said or any(
        answer[at : at + best] == said for answer in answers for at in range(len(answer))
    )


def test_pointers_begin_at_answers_then_at_what_is_rare() -> None:
    part = [10, 11, 12, 13, 14]
    found = worth(part, [[99, 13, 14]], {10: 0.0, 11: 2.0})
    assert found == [0.0, 2.0, 1.0, ANSWER, ANSWER]
    assert targets(found, 3).tolist() == [[1, 3, 4], [0, 2, 3], [1, 1, 1]]
    assert targets([1.0, 1.0], 1).tolist() == [[0], [IGNORED], [IGNORED]]
    scores = torch.full((1, 4, 4, 5), -9.0)
    for pointer, row in enumerate(targets(found, 3).tolist()):
        for vector, at in enumerate(row):
            scores[0, pointer, vector, at] = 9.0
    assert pointing_loss(scores, [targets(found, 3)]) < 1e-6


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng, path = random.Random(1), tmp_path / "rows.jsonl"
    words = "river mill man sea boats winters children stories old name".split()  # noqa: SIM905
    with path.open("w") as out:
        for _ in range(60):
            one, two = rng.sample(words, 2)
            row = {"passage": f"the {one} ran past. the {two} sat there.", "question": "who sat?",
                   "answer": f"the {two}"}  # fmt: skip
            out.write(json.dumps(row) + "\n")
    return path


def copied(tmp_path: Path, family: str) -> Path:
    return Path(shutil.copytree(tiny(family), tmp_path / "model"))


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_head_for_any_model_from_rows(family: str, rows: Path, tmp_path: Path) -> None:
    """The command line: pointers, answers, checks, the file beside the model; then more of it."""
    folder, run = copied(tmp_path, family), tmp_path / "run"
    common = [str(folder), str(rows), "--run", str(run), "--batch", "2", "--device", "cpu"]
    main([*common, "--minutes", "0.02", "--pointing", "2", "--put"])
    _, facts = load_head(folder / PLACE, folder)
    assert facts.ratios == (2.0, 3.0) and facts.window == 512
    assert facts.note.startswith("exact: 2 ")
    first = torch.load(run / "state.pt")["progress"]["step"]
    assert first > 0
    main([*common, "--minutes", "0.01", "--resume"])
    assert torch.load(run / "state.pt")["progress"]["step"] > first


def test_answers_teach(rows: Path, tmp_path: Path) -> None:
    """A few steps on a random model: the loss falls, the model stays as it is."""
    folder = copied(tmp_path, "llama")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    source = Rows(model, folder, read_rows(rows), [2.0], batch=4)
    run = Run(tmp_path / "run", model, source, Plan(1.0, (2.0,), pointing=0))
    first = source.answering(run.resampler, 0).item()
    for _ in range(12):
        run.progress.step = 0
        run.step(1.0)
    assert source.answering(run.resampler, 0).item() < first
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"passage": "a", "question": "b", "answer": "c"}\n{"passage": "a"}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_rows(path)


def test_scenes_of_the_demo_world_with_vectors_for_passages() -> None:
    encoder = Encoder(AutoTokenizer.from_pretrained(model_path()))
    for mix in (LEVEL1, FOUR):
        data = draw(random.Random(3), encoder, Kind("ask", mix), "train", 3, 2.0, (48, 24), 4)
        soft = data.batch.ids[data.batch.ids >= VOCAB]
        assert soft.tolist() == list(range(VOCAB, VOCAB + sum(data.counts)))
        assert sum(map(len, data.parts)) == len(data.counts)
        scene = MAKERS["ask"](random.Random(4), "train", mix)
        for text in passages(scene):
            assert text.startswith(" ") and text.endswith(".") and "[" not in text


def test_a_fresh_head_with_a_vector_per_token_answers_as_the_text_does(tmp_path: Path) -> None:
    """On the shipped model; at ratio 1 the vectors are nearly the tokens' embeddings."""
    folder = model_path()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)
    encoder = Encoder(AutoTokenizer.from_pretrained(folder))
    args = argparse.Namespace(scenes=4, asks=3, seed=1, limits=(48, 24))
    scenes = Scenes(model, encoder, args)
    torch.manual_seed(0)
    fresh = Resampler(shape_of(model))
    scenes._step = lambda step: draw(  # type: ignore[method-assign]
        random.Random(step), encoder, Kind("ask", LEVEL1), "dev", 4, 1.0, (48, 24), 3
    )
    with torch.no_grad():
        assert scenes.answering(fresh, 0) < 0.5
    loss = scenes.pointing(fresh, 0)
    loss.backward()
    assert fresh.point.weight.grad is not None and fresh.point.weight.grad.abs().sum() > 0


def test_answers_over_vectors_are_counted_beside_text(tmp_path: Path) -> None:
    """A head that was never trained, three tokens a vector, on two questions."""
    folder = model_path()
    shape = Shape(192, (0,))
    facts = Facts(digest_of(folder), (2.0, 3.0), 2.0, 256)
    save_head(tmp_path / "head", Resampler(shape), facts)
    (task,) = (task for task in TASKS if task.name == ASKED)
    cases, backend = make_cases(task, 7, 2), rf.open_backend(f"radix:{folder}?dtype=float32")
    text, words, soft, *_ = ways(folder, tmp_path / "head", [3.0])
    rows = [run(backend, way, cases) for way in (text, words, soft)]
    assert [row.right for row in rows[:1]] == [2] and rows[0].after == rows[0].before
    assert rows[1].after < rows[1].before and rows[2].after < 0.4 * rows[2].before
    assert table(rows).count("\n") == 4
    rf.close_backends()
