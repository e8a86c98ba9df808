"""The benchmark itself: its workload, and that every peer computes the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.harness import models
from benchmarks.harness.models import LlamaShape, random_llama
from benchmarks.peers import huggingface
from benchmarks.peers.engine import shared_length
from benchmarks.roofline import Limits
from benchmarks.shared_prefix import Workload

TINY = LlamaShape(
    layers=2, hidden=64, heads=4, kv_heads=2, intermediate=96, vocab=512, dtype="float32"
)
WORK = Workload(prefix=40, branches=4, suffix=5, new=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.tempfile, "gettempdir", lambda: str(tmp_path_factory.mktemp("m")))
        return random_llama(TINY)


def test_branches_share_the_prefix_and_nothing_more() -> None:
    prompts = Workload().prompts(4096)
    assert {len(ids) for ids in prompts} == {528}
    assert shared_length(prompts) == 512
    assert prompts == Workload().prompts(4096)


def test_shared_length_of_equal_and_of_nested_prompts() -> None:
    assert shared_length([[1, 2], [1, 2]]) == 2
    assert shared_length([[1, 2], [1, 2, 3]]) == 2
    assert shared_length([[1], [2]]) == 0


def test_the_limit_grows_with_the_work_and_shrinks_with_the_machine() -> None:
    limits = Limits(bandwidth=1e9, flops=1e9)
    base = WORK.limit(TINY, limits)
    assert Workload(prefix=80, branches=4, suffix=5, new=6).limit(TINY, limits) > base
    assert WORK.limit(TINY, Limits(bandwidth=2e9, flops=2e9)) == pytest.approx(base / 2)


def test_all_settings_of_the_peers_give_the_same_tokens(folder: Path) -> None:
    model = huggingface.load(folder, "float32")
    prompts = WORK.prompts(TINY.vocab)
    expected = None
    for engine in huggingface.engines(model, quick=True):
        engine.prepare(prompts, WORK.new)
        found = engine.run(prompts, WORK.new)
        engine.close()
        expected = expected or found
        assert found == expected, engine.setting
    assert {len(ids) for ids in found} == {WORK.new}


def test_prefix_caches_are_counted(folder: Path) -> None:
    model = huggingface.load(folder, "float32")
    prompts = WORK.prompts(TINY.vocab)
    by_hand = huggingface.GenerateFromPrefix(model)
    leader_first = huggingface.ContinuousBatching(model, 8, 256, True)
    for engine in (by_hand, leader_first):
        engine.prepare(prompts, WORK.new)
        engine.run(prompts, WORK.new)
        engine.close()
        assert engine.cached == 3 * 40


def test_a_manager_that_does_not_stop_is_named_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    class Endless:
        asked = 0

        def stop(self, **how: object) -> None:
            assert how["hard_stop"] and how["timeout"]
            self.asked += 1

        def is_running(self) -> bool:
            return True

        def destroy(self) -> None:
            raise AssertionError("this waits without end")

    engine = huggingface.ContinuousBatching(None, 16, 256, False)
    engine._manager = manager = Endless()
    engine.finish()
    engine.finish()
    assert manager.asked == 1
    assert "page 16, 256 tokens a step, all together: its thread still" in capsys.readouterr().err
