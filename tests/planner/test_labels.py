from __future__ import annotations

import functools

import pytest

from ramify.ir import (
    Alias,
    Call,
    Compress,
    Constraint,
    Each,
    First,
    Generate,
    Node,
    Prompt,
    Rerank,
    Retrieve,
    Sampling,
    Score,
    Select,
    View,
)
from ramify.planner.labels import listed, scope_path, short, what
from tests.planner.graphs import INDEX, SHORTENER

PROMPT = Prompt()


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("", ()), ("report", ()), ("report/expand[2]", ("expand[2]",)), ("report[1]", ("[1]",)),
        ("report[0]/a[1][2]/b", ("[0]", "a[1]", "[2]", "b")), ("other/a", ("other", "a")),
    ],
)  # fmt: skip
def test_scope_path(scope: str, path: tuple[str, ...]) -> None:
    assert scope_path(Call(id=0, scope=scope, function=len), "report") == path


@pytest.mark.parametrize(
    ("names", "width", "text"),
    [
        ([], 10, ""), (["a", "b"], 10, "a, b"), (["b[1].x", "b[2].x"], 10, "b[*].x"),
        (["call#1", "call#2"], 10, "call#*"), (["alpha", "beta", "gamma"], 14, "alpha, beta +1"),
        (["a long name"], 6, "a lon…"), (["a long name", "b"], 9, "a lon… +1"),
    ],
)  # fmt: skip
def test_listed(names: list[str], width: int, text: str) -> None:
    assert listed(names, width) == text
    assert len(text) <= width


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Generate(id=0, prompt=PROMPT), "generate 128"),
        (Generate(id=0, prompt=PROMPT, samples=3, model="small"), "generate 3x128 @small"),
        (Generate(id=0, prompt=PROMPT, constraint=Constraint("regex", "a")), "generate 128 regex"),
        (Select(id=0, prompt=PROMPT, options=("a", "b")), "select of 2"),
        (Score(id=0, prompt=PROMPT, continuations=("a",)), "score 1"),
        (View(id=0, prompt=PROMPT), "read text"),
        (Compress(id=0, source="", compressor=SHORTENER), "compress auto"),
        (Compress(id=0, source="", compressor=SHORTENER, rate=0.3), "compress 0.3"),
        (Compress(id=0, source="", compressor=SHORTENER, tokens=9), "compress to 9"),
        (Retrieve(id=0, index=INDEX, query="", k=4), "retrieve 4"),
        (Rerank(id=0, passages=(), query="", reranker=INDEX), "rerank all"),
        (Call(id=0, function=functools.partial(print, 1)), "call print"),
        (Each(id=0, items=(), start=PROMPT, grow=lambda items: ()), "each"),
        (Each(id=0, items=(), start=PROMPT, grow=lambda items: (), limit=5), "each, up to 5"),
        (First(id=0, k=1, branches=()), "first 1 of 0"),
        (Alias(id=0, of=7), "= seven"),
    ],
)
def test_what(node: Node, text: str) -> None:
    assert what(node, {7: "seven"}) == text


def test_short() -> None:
    assert short("a\n b", 9) == "a b"
    assert Sampling().max_tokens == 128  # the number above
