"""Every field of every node is part of what its work is: no answer stands in for another one's."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from ramify.ir import (
    Block,
    Call,
    Compress,
    Constraint,
    Forks,
    Generate,
    Graph,
    Node,
    Open,
    Parallel,
    Prompt,
    Rerank,
    Retrieve,
    Sampling,
    Score,
    Select,
    Text,
    Tool,
    Vectors,
    View,
)
from ramify.planner import Context, work_keys
from tests.planner.graphs import INDEX, OTHER_INDEX, SHORTENER, shout

PROMPT = Prompt().append(Open("user"), Text(("hello",)))
OTHER = PROMPT.append(Text(("!",)))
COMMON = {"id": 0, "prompt": PROMPT}
# For each kind of node one of it, and another value for each field.
EXAMPLES: list[tuple[Node, dict[str, Any]]] = [
    (
        Generate(**COMMON),
        {
            "prompt": OTHER,
            "model": "small",
            "sampling": Sampling(max_tokens=3),
            "constraint": Constraint("regex", "a+"),
            "parse": int,
            "samples": 2,
            "lenient": True,
            "forks": Forks(),
            "tools": (Tool("look_up", "Finds.", "{}"),),
        },
    ),
    (
        Select(**COMMON, options=("a", "b")),
        {"prompt": OTHER, "model": "small", "options": ("b", "a"), "method": "greedy"},
    ),
    (
        Score(**COMMON, continuations=("a",)),
        {"prompt": OTHER, "model": "small", "continuations": ("b",)},
    ),
    (View(**COMMON), {"prompt": OTHER, "kind": "messages"}),
    (
        Compress(id=0, source="text", rate=0.5, compressor=SHORTENER),
        {
            "source": "other",
            "question": "why?",
            "rate": 0.33,
            "tokens": 8,
            "compressor": INDEX,
        },
    ),
    (
        Retrieve(id=0, index=INDEX, query="q"),
        {"index": OTHER_INDEX, "query": "p", "k": 2, "options": (("mode", "sparse"),)},
    ),
    (
        Rerank(id=0, passages=["a"], query="q", reranker=INDEX),
        {"passages": ["b"], "query": "p", "k": 2, "reranker": OTHER_INDEX},
    ),
    (
        Call(id=0, function=shout, pure=True),
        {
            "function": len,
            "args": ("a",),
            "kwargs": (("a", "a"),),
            "pure": False,
            "settled": True,
        },
    ),
]
NO_WORK = {"id", "name", "scope"}  # who asked for it
UNUSED = {View: {"model"}}  # a view reads the prompt on no backend
CASES = [
    pytest.param(node, name, value, id=f"{type(node).__name__}.{name}")
    for node, others in EXAMPLES
    for name, value in others.items()
]


def key(node: Node) -> Any:
    graph = Graph("p")
    graph.add(node)
    return work_keys(graph, Context()).get(node.id)


@pytest.mark.parametrize(("node", "name", "value"), CASES)
def test_another_value_is_other_work(node: Node, name: str, value: Any) -> None:
    assert key(node) is not None and key(node) == key(replace(node))
    changed = replace(node, **{name: value})
    assert changed != node and key(changed) != key(node)


def test_no_field_is_forgotten() -> None:
    for node, others in EXAMPLES:
        own = {field.name for field in fields(node)} - NO_WORK - UNUSED.get(type(node), set())
        assert set(others) == own, type(node).__name__


def test_every_option_of_sampling_counts_where_it_does_anything() -> None:
    """At temperature 0, options of chance do nothing: such generations are the same work."""
    other: dict[str, Any] = {
        "max_tokens": 3,
        "min_tokens": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "min_p": 0.1,
        "seed": 2,
        "stop": ("x",),
        "stop_ids": (3,),
        "ignore_end": True,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.5,
        "repetition_penalty": 1.1,
        "logprobs": 1,
    }
    assert set(other) == {field.name for field in fields(Sampling)}
    chance = {"top_p", "top_k", "min_p", "seed"}
    greedy = Generate(**COMMON, sampling=Sampling(seed=1))
    warm = Generate(**COMMON, sampling=Sampling(seed=1, temperature=1.0))
    for name, value in other.items():
        for node in (greedy, warm):
            same = key(replace(node, sampling=replace(node.sampling, **{name: value})))
            assert (same == key(node)) == (node is greedy and name in chance), name


def test_what_a_prompt_joins_and_how() -> None:
    left, right = (PROMPT.append(Text((word,))) for word in ("left", "right"))
    one, two = Block(PROMPT, left), Block(PROMPT, right)
    joins = [
        Parallel((one, two)),
        Parallel((two, one)),
        Parallel((one,)),
        Parallel((one, two), "kv"),
        Parallel((one, two), "kv", repair=2),
        Vectors.of(np.ones((1, 2))),
        Vectors.of(np.zeros((1, 2))),
        Vectors.of(np.ones((2, 1))),
    ]
    keys = [key(Generate(id=0, prompt=PROMPT.append(join))) for join in joins]
    assert None not in keys and len(set(keys)) == len(joins)
