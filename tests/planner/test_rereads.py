"""What later steps of a plan read again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ramify as rf
from ramify.backend.contract import Promise
from ramify.planner import Plan


def promised(plan: Plan) -> dict[str, tuple[int, bool]]:
    """By the node's name: steps until its prompt, or a beginning of it, is read again, and whether
    its answer is too."""
    return {plan.graph.nodes[i].name: (r.steps, r.answer) for i, r in plan.rereads.items()}


@rf.program
def joined(s: Any, mode: str) -> Any:
    s += rf.user("A long text.")
    s += rf.assistant(rf.gen("plan", max_tokens=8))
    branches = s.fork(3)
    for i, branch in enumerate(branches):
        branch += rf.user(f"Part {i}.")
        branch += rf.assistant(rf.gen(f"part{i}", max_tokens=8))
    s.join(branches, mode=mode)
    s += rf.user("Close.")
    s += rf.assistant(rf.gen("end", max_tokens=8))
    return s["end"]


def test_a_join_reads_again_what_its_branches_read() -> None:
    for mode in ("text", "kv"):
        plan = joined.compile(mode)
        found = promised(plan)
        assert found["plan"] == (1, True)
        kept = mode == "kv"  # as text, only the first part continues what stands before it
        assert [found[f"part{i}"] for i in range(3)] == [(1, True), (1, kept), (1, kept)]
        assert "end" not in found


@rf.program
def apart(s: Any) -> Any:
    s += rf.user("A long text.")
    first, second = s.fork(2)
    first += rf.user("One.")
    first += rf.assistant(rf.gen("first", max_tokens=8))
    second += rf.user(f"Two: {first['first']}")
    second += rf.assistant(rf.gen("second", max_tokens=8))
    other = rf.user("Nothing in common.")
    s += other
    s += rf.assistant(rf.gen("third", max_tokens=8))
    return rf.lines(second["second"], s["third"])


def test_a_value_in_a_text_is_no_answer_and_what_runs_beside_is_not_later() -> None:
    plan = apart.compile()
    found = promised(plan)
    assert found == {"first": (1, False), "third": (1, False)}
    node = next(n for n in plan.graph.nodes.values() if n.name == "first")
    again = plan.rereads[node.id]
    assert node.prompt.starts_with(again.prompt) and again.prompt is not node.prompt


@rf.program
def each(s: Any) -> Any:
    s += rf.user("Name points.")
    s += rf.assistant(rf.gen("points", schema=list[str], max_tokens=20))

    def body(branch: Any, point: Any) -> None:
        branch += rf.user(f"More on {point}")
        branch += rf.assistant(rf.gen("more", max_tokens=8))

    made = s.each(s["points"], body)
    s.join(made)
    s += rf.assistant(rf.gen("end", max_tokens=8))
    return s["end"]


def test_branches_that_are_not_known_yet_are_expected() -> None:
    assert promised(each.compile())["points"] == (1, True)


@rf.program
def chosen(s: Any) -> Any:
    """Choices, each of which stands where the next one is asked."""
    s += rf.user("A long text. Which one?")
    s += rf.assistant(rf.select("kind", ["one", "other"]))
    s += rf.user("And how?")
    s += rf.assistant(rf.select("way", ["fast", "slow"]))
    s += rf.assistant(rf.gen("end", max_tokens=8))
    return s["end"]


def test_what_is_chosen_from_is_read_again() -> None:
    assert promised(chosen.compile()) == {"kind": (1, True), "way": (1, True)}


def test_requests_say_what_the_plan_promises_of_their_prompts() -> None:
    """The prompt with the answer where that is read again; with scores, the prompt alone."""
    asked: list[Any] = []

    class Recorder(rf.FakeBackend):
        async def score(self, request: Any) -> Any:
            asked.append(request)
            return await super().score(request)

    plain = Recorder()
    chosen.run(backend=plain)
    assert [request.promise for request in asked] == [None, None]
    asked.clear()
    keeping = Recorder(capabilities=replace(plain.capabilities, promises=True))
    chosen.run(backend=keeping)
    assert [request.promise for request in asked] == [
        Promise(len(request.prompt)) for request in asked
    ]
    assert len(asked) == 2


def test_without_passes_nothing_is_promised() -> None:
    from ramify.planner import Options

    plan = joined.compile("text")
    from ramify.planner import plan as make

    assert make(plan.graph, plan.context, Options(passes=())).rereads == {}


def test_of_long_conversations_the_next_turn_is_known() -> None:
    @rf.program
    def long(s: Any) -> Any:
        for turn in range(700):
            s += rf.user("And now?")
            s += rf.assistant(rf.gen(f"turn{turn}", max_tokens=1))
        return s["turn699"]

    found = promised(long.compile())
    assert found == {f"turn{turn}": (1, True) for turn in range(699)}


def test_what_another_model_reads_again_is_in_the_cache_of_that_one() -> None:
    @rf.program
    def two(s: Any) -> Any:
        s += rf.user("A long text.")
        aside = s.fork()
        s += rf.assistant(rf.gen("one", model="small", max_tokens=8))
        s += rf.assistant(rf.gen("other", model="large", max_tokens=8))
        aside += rf.user(f"Short: {s['one']}")
        aside += rf.assistant(rf.gen("again", model="small", max_tokens=8))
        return [s["other"], aside["again"]]

    assert promised(two.compile()) == {"one": (1, False)}
