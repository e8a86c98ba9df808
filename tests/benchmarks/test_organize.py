"""The workloads of the organize benchmarks: what is compared is the same amount of answer."""

from __future__ import annotations

import pytest

from benchmarks.harness.models import LlamaShape
from benchmarks.organize import limit_of, plain_of, vllm_line
from benchmarks.organizing.ours import Programs, auto, sequential, skeleton
from benchmarks.organizing.workload import QUESTION, VICUNA, Answer, passages
from benchmarks.roofline import Limits
from ramify.backend import FakeBackend
from ramify.demo.world import load_towns

TINY = LlamaShape(layers=2, hidden=64, heads=4, kv_heads=2, intermediate=96, vocab=512)


@pytest.mark.parametrize("answer", VICUNA)
def test_both_sides_write_the_same_amount_of_answer(answer: Answer) -> None:
    backend = FakeBackend()
    programs = Programs(backend)
    for program in (sequential, skeleton, auto):
        programs.contender(program, answer, QUESTION).run()
    plain, split = (programs.results[f"{n} {answer.name}"] for n in ("sequential", "skeleton"))
    programs.close()
    assert plain.usage.output_tokens == answer.total
    assert split.usage.output_tokens == answer.total + answer.skeleton_tokens
    assert len(split["skeleton"].points) == answer.points
    written = [a.output_tokens for a in split.accounts.values() if a.output_tokens]
    assert sorted(written) == sorted([answer.skeleton_tokens, *[answer.tokens] * answer.points])


def test_plain_answers_of_one_length_are_measured_once() -> None:
    assert plain_of(Answer(4, 128)) is VICUNA[0] and plain_of(VICUNA[2]) is VICUNA[2]
    assert len(passages(9)) > len(passages(3)) > len(QUESTION)
    assert "skipped" in vllm_line()["program"]


def test_the_limit_of_a_split_answer_is_below_that_of_the_plain_one() -> None:
    limits = Limits(bandwidth=1e9, flops=1e12)
    answer = VICUNA[0]
    plain = limit_of(answer, TINY, limits, 50, 50)
    assert 0 < limit_of(answer, TINY, limits, 50, 200) < plain


def test_two_step_questions_are_enough_and_different() -> None:
    pytest.importorskip("torch")
    from benchmarks.organize_quality import points_of, steps

    towns = load_towns()
    found = steps(200, towns)
    assert len({one.question for one in found}) == len(found) == 200
    assert all(one.facts for one in found)
    points = [points_of(town) for town in towns[:20]]
    assert all(len(p) == len(t.facts) for p, t in zip(points, towns[:20], strict=True))
