"""Routers: what they say, how they are trained, and what is said where they cannot be had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.errors import RamifyError
from ramify.retrieval.minilm import missing
from ramify.router import (
    LinearRouter,
    PromptRouter,
    Router,
    RouterMissingError,
    default_router,
    set_default_router,
)
from ramify.router.fit import Verdicts, fit
from ramify.router.linear import FILE


class Counting:
    """An embedder of two dimensions: how often a text says yes, and how often no."""

    name = "all-MiniLM-L6-v2"

    def embed(self, texts: Sequence[str], *, kind: str) -> Any:
        rows = [[text.count("yes"), text.count("no")] for text in texts]
        return np.asarray(rows, dtype=np.float32)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    yield
    set_default_router("linear")


def write(path: Path, **changes: Any) -> Path:
    record = {"format": 1, "embedder": Counting.name, "bias": 0.0, "weights": [2.0, -2.0]}
    path.write_text(json.dumps(record | changes))
    return path


def test_a_linear_router_reads_its_file(tmp_path: Path) -> None:
    router = LinearRouter(write(tmp_path / "r.json"), embedder=Counting())
    assert isinstance(router, Router)
    assert asyncio.run(router.suits("yes")) == pytest.approx(1 / (1 + np.exp(-2)))
    low, half = router.chances(["no no", ""])
    assert low < 0.05 and half == 0.5


@pytest.mark.parametrize("text", [None, "", "[1]", '{"format": 2}', '{"format": 1}'])
def test_a_router_without_its_file_says_so(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "model.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RouterMissingError, match=r"model\.json.*examples\.router\.train"):
        LinearRouter(path, embedder=Counting())
    with pytest.raises(RouterMissingError, match="trained on other, not on all-MiniLM"):
        LinearRouter(write(tmp_path / "other.json", embedder="other"), embedder=Counting())


def test_training_is_convex_and_wrong_yes_costs_more() -> None:
    chance = np.random.default_rng(0)
    labels = [i % 2 for i in range(200)]
    rows = chance.normal(size=(200, 3)) + np.array(labels)[:, None]
    model = fit(rows, labels)
    found = Verdicts.of(model.yes(rows), labels)
    assert found.accuracy > 0.75
    assert found.wrong_yes < found.wrong_no  # the dearer mistake is made less often
    always = Verdicts.of([True] * 200, labels), Verdicts.of([False] * 200, labels)
    assert found.cost < min(one.cost for one in always)
    again = fit(rows[::-1], labels[::-1])
    assert np.allclose(model.weights, again.weights, atol=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1)), min_size=1))
def test_verdicts_count_everything_once(pairs: list[tuple[bool, int]]) -> None:
    found = Verdicts.of([said for said, _ in pairs], [label for _, label in pairs])
    assert found.right_yes + found.wrong_yes + found.right_no + found.wrong_no == len(pairs)
    assert found.accuracy == sum(said == bool(label) for said, label in pairs) / len(pairs)


def test_the_prompt_router_reads_three_odds_and_doubts() -> None:
    router = PromptRouter()
    assert router.chance([-0.1, -5.0, -5.0]) > 0.9
    assert router.chance([-0.7, -0.7, -9.0]) < 0.5  # as likely as not is no
    assert PromptRouter(bias=0).chance([-1.0, -1.0, -1.0]) == pytest.approx(1 / 3)


def test_the_default_can_be_set() -> None:
    set_default_router("prompt")
    assert isinstance(default_router(), PromptRouter)
    with pytest.raises(RamifyError, match="is no router"):
        set_default_router("best")  # type: ignore[arg-type]


@pytest.mark.skipif(bool(missing()), reason="needs the extra [retrieval]")
def test_the_shipped_router_tells_lists_from_sums() -> None:
    assert FILE.stat().st_size < 10_000
    router = LinearRouter()
    assert "218 questions of wizardlm" in router.about
    lists, sums = router.chances(
        ["What are the main causes of the French Revolution?", "What is 17 times 23?"]
    )
    assert sums < 0.5 < lists
