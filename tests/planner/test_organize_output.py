"""The pass that decides whether an answer is split, and the cost rule behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.backend.contract import Profile
from ramify.ir import Call, Each, Graph, Prompt, Ref, Way, Ways
from ramify.planner import Context, Options, plan
from ramify.planner.organize_output import organize_output
from ramify.planner.split import MARGIN, knee, refusal, sequential_s, split_s

FLAT = Profile(name="flat", context=4096, prefill_s=1e-5, decode_s=((1, 0.02), (64, 0.021)))
STEEP = Profile(name="steep", context=4096, prefill_s=1e-5, decode_s=((1, 0.02), (2, 0.04)))
WAYS = Ways(answer_tokens=512, plan_tokens=64, asked_tokens=40, branch_tokens=32, branches=8)


def graph(ways: Ways = WAYS) -> Graph:
    found = Graph("p")
    found.add(Call(id=0, name="router", function=len, args=("x",), pure=True))
    found.add(Each(id=1, name="write", items=Ref(0), start=Prompt(), grow=lambda _: (), ways=ways))
    found.outputs = (Ref(1),)
    return found


def test_where_splitting_pays_the_router_has_the_last_word() -> None:
    made = plan(graph(), Context(profiles={"": FLAT}))
    assert set(made.graph.nodes) == {0, 1}
    assert "organize_output lossy    write: 8 branches if the router agrees" in made.explain()


@pytest.mark.parametrize(
    ("profile", "load", "ways", "reason"),
    [
        (STEEP, 0, WAYS, "the batch is full: 0 under way and 8 branches"),
        (FLAT, 60, WAYS, "the batch is full: 60 under way and 8 branches, where it pays up to 64"),
        (FLAT, 0, replace(WAYS, answer_tokens=80), "in one go: too little"),
        (FLAT, 0, replace(WAYS, router_s=60.0), "in one go: too little"),
    ],
)
def test_where_it_does_not_the_router_is_not_asked(
    profile: Profile, load: int, ways: Ways, reason: str
) -> None:
    context = Context(profiles={"": profile}, load=lambda model: load)
    made = plan(graph(ways), context)
    assert set(made.graph.nodes) == {1}  # the router was dropped
    each = made.graph.nodes[1]
    assert isinstance(each, Each) and each.ways is not None and each.ways.chosen is not None
    assert each.items == [each.ways.chosen] and reason in each.ways.chosen.reason
    assert "write: sequential" in made.explain()


def test_what_was_decided_stays_and_plain_graphs_are_left_alone() -> None:
    decided = graph(replace(WAYS, chosen=Way("sequential", "asked for")))
    assert organize_output(decided, Context(profiles={"": FLAT})).graph is decided
    made = plan(graph(WAYS).with_nodes([]), Context())
    assert "organize_output" not in made.explain()  # nothing to say
    naive = plan(graph(), Context(profiles={"": STEEP}), Options(passes=()))
    assert set(naive.graph.nodes) == {0, 1}


_profiles = st.builds(
    lambda steps, prefill, most: Profile(
        name="drawn", context=4096, prefill_s=prefill, max_batch=most,
        decode_s=tuple((2**i, s) for i, s in enumerate(sorted(steps))),
    ),
    st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=6), st.floats(1e-6, 1e-2),
    st.integers(1, 64),
)  # fmt: skip


@given(_profiles, st.integers(0, 70), st.integers(1, 2048), st.integers(2, 12))
def test_splitting_is_never_allowed_where_it_is_expected_to_be_slower(
    profile: Profile, load: int, tokens: int, branches: int
) -> None:
    ways = replace(WAYS, answer_tokens=tokens, branches=branches)
    refused = refusal(ways, profile, load)
    if refused is None:
        assert split_s(ways, profile, load) < MARGIN * sequential_s(ways, profile, load)
        assert load + branches <= knee(profile) <= profile.max_batch
    else:
        assert refused.name == "sequential" and refused.reason
