"""Skeleton-of-Thought: the calls that it makes, what it falls back to, and how it streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramify as rf
from ramify.backend.contract import Capabilities, Delta, Request
from ramify.dsl.patterns.skeleton import read_skeleton
from ramify.errors import NodeTimeoutError, ProgramError
from tests.dsl.patterns.calls import last, names, shared, side_by_side

sot = rf.patterns.skeleton_of_thought
ASK = "List 3 to 10 points"


def reply(points: list[str], **texts: str) -> Any:
    """Replies with a skeleton, then with the text of each point."""
    plan = json.dumps({"points": points})

    def answer(prompt: str) -> str:
        request = last(prompt)
        if request.startswith(ASK):
            return plan
        title = request.rpartition(". ")[2]
        return texts.get(title, f" About {title}. ")

    return answer


def test_calls_and_prefixes() -> None:
    backend = rf.FakeBackend(reply=reply(["Trade", "Fish", "Boats"]))
    result = sot.run("Why did towns grow?", backend=backend)
    assert result.text == "1. Trade: About Trade.\n2. Fish: About Fish.\n3. Boats: About Boats."
    assert not result.notes
    calls = backend.calls
    assert names(calls) == ["skeleton", "text", "text", "text"]
    assert side_by_side(calls[1:])
    # the question is in the prefix of all; the points share all but their last line
    assert shared(calls) >= len(backend.tokenizer.encode("Why did towns grow?"))
    assert shared(calls[1:]) > calls[0].tokens
    assert [call.cached for call in calls[2:]] == [shared(calls[1:])] * 2
    assert calls[1].text.startswith(calls[0].text + calls[0].answer)
    # and the answer is not begun for the model
    assert all(call.text.endswith("<|end|><|assistant|>") for call in calls)


def test_a_begun_answer_reads_less() -> None:
    points = ["Trade", "Fish", "Boats"]
    plain = rf.FakeBackend(reply=reply(points))
    sot.run("Why did towns grow?", backend=plain)

    def answer(prompt: str) -> str:
        title = prompt.rpartition(". ")[2].rstrip(":")
        return f" About {title}." if title in points else json.dumps({"points": points})

    begun = rf.FakeBackend(reply=answer)
    result = sot.run("Why did towns grow?", begun=True, backend=begun)
    assert result.text == "1. Trade: About Trade.\n2. Fish: About Fish.\n3. Boats: About Boats."
    assert begun.calls[2].text.endswith("<|assistant|>2. Fish:")
    own = [sum(c.tokens - c.cached for c in one.calls[2:]) for one in (begun, plain)]
    assert own[0] < own[1]  # of a branch beside what all share


def test_streams_as_points_finish_and_in_order() -> None:
    class Backwards(rf.FakeBackend):
        """The first point is written last."""

        second = asyncio.Event()

        async def generate(self, request: Request) -> AsyncIterator[Delta]:
            text = self.tokenizer.spell(request.prompt.ids)
            if "1. Trade" in text:
                await asyncio.wait_for(self.second.wait(), 60)
            async for delta in super().generate(request):
                yield delta
            if "2. Fish" in text:
                self.second.set()

    long = " ".join(["word"] * 30)
    backend = Backwards(reply=reply(["Trade", "Fish"], Trade=long, Fish=long))
    with sot.stream("Why?", backend=backend) as stream:
        done = [e.scope[-3:] for e in stream if e.kind == "finished" and e.name == "text"]
    assert done == ["[1]", "[0]"]
    with sot.stream("Why?", backend=backend) as stream:
        pieces = list(stream.in_order("head", "text", strip=["text"]))
        result = stream.result()
    assert len(pieces) > 6 and "".join(pieces) == result.text

    async def main() -> str:
        async with sot.astream("Why?", backend=backend) as stream:
            return "".join([p async for p in stream.in_order("head", "text", strip=["text"])])

    assert asyncio.run(main()) == result.text


@pytest.mark.parametrize(
    ("skeleton", "reason"),
    [
        ('{"points":["Trade"]}', "the skeleton has one point"),
        ('{"points":["Trade","trade"]}', "the skeleton has one point"),
        ("I cannot help with that.", "no points can be read in 'I cannot help"),
        ('{"points":[]}', "no points can be read"),
    ],
)
def test_falls_back_to_the_plain_answer_and_says_why(skeleton: str, reason: str) -> None:
    able = Capabilities(prefix_cache=True)  # no constraint, as some servers have none
    backend = rf.FakeBackend(
        reply=lambda p: skeleton if last(p).startswith(ASK) else " It is so. ", capabilities=able
    )
    result = sot.run("Why?", backend=backend)
    assert result.text == "It is so."
    assert [note for note in result.notes if "plain answer: " + reason in note]
    assert "plain answer: " + reason in result.explain()
    skeleton_call, plain = backend.calls
    assert plain.text.endswith("Why?<|end|><|assistant|>")
    assert ASK in skeleton_call.text and ASK not in plain.text


def test_a_backend_without_schemas_is_asked_without_one() -> None:
    able = Capabilities(prefix_cache=True)
    lines = "1. Trade\n2. Fish\n2. Fish\n10) Boats"
    backend = rf.FakeBackend(
        reply=lambda p: lines if last(p).startswith(ASK) else "Yes.", capabilities=able
    )
    result = sot.run("Why?", backend=backend)
    assert result.text == "1. Trade: Yes.\n2. Fish: Yes.\n3. Boats: Yes."
    assert "skeleton: fake cannot enforce a schema: asked without it" in result.notes
    assert "1 repeated points left out" in "; ".join(result.notes)


def test_five_hundred_points_are_limited() -> None:
    points = [f"P{i}" for i in range(500)]
    backend = rf.FakeBackend(reply=reply(points))
    result = sot.run("Why?", limit=4, skeleton_tokens=4000, backend=backend)
    assert len(backend.calls) == 5
    assert any("500 points, the first 4 are written" in note for note in result.notes)


def test_a_skeleton_that_never_stops_is_cut_and_used() -> None:
    backend = rf.FakeBackend(reply=reply([f"P{i}" for i in range(500)]))
    result = sot.run("Why?", limit=3, skeleton_tokens=64, backend=backend)
    assert result.text.startswith("1. P0: About P0.\n2. P1")
    assert any("the skeleton was cut" in note for note in result.notes)
    assert "skeleton: cut at max_tokens" in result.explain()


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_branch_that_fails_or_hangs(how: str) -> None:
    class Weak(rf.FakeBackend):
        async def generate(self, request: Request) -> AsyncIterator[Delta]:
            if "2. Fish" in self.tokenizer.spell(request.prompt.ids):
                if how == "fails":
                    raise ValueError("no fish")
                await asyncio.Event().wait()
            async for delta in super().generate(request):
                yield delta

    backend = Weak(reply=reply(["Trade", "Fish", "Boats"]))
    limits = rf.Timeouts(node_s=0.05 if how == "hangs" else None)
    kind = NodeTimeoutError if how == "hangs" else rf.RamifyError
    with pytest.raises(kind, match="node 'text'"):
        sot.run("Why?", backend=backend, policy=rf.Policy(timeouts=limits))
    kept = rf.Policy(on_error="best_effort", timeouts=limits)
    result = sot.run("Why?", backend=backend, policy=kept)
    assert result.text == "1. Trade: About Trade.\n3. Boats: About Boats."
    assert "1 of 3 branches failed and are left out" in "; ".join(result.notes)
    assert len(result.errors) == 1


@pytest.mark.parametrize("parallel", [False, True])
def test_closing_reads_the_points_again(parallel: bool) -> None:
    said = reply(["Trade", "Fish"])
    backend = rf.FakeBackend(
        reply=lambda p: "So it was." if last(p) == "Close." else said(p), parallel=parallel
    )
    result = sot.run("Why?", closing="Close.", join="kv", backend=backend)
    assert result.text.endswith("2. Fish: About Fish.\nSo it was.")
    closing = backend.calls[-1]
    assert names(backend.calls) == ["skeleton", "text", "text", "closing"]
    assert closing.text.index("About Trade") < closing.text.index("About Fish")
    if parallel:  # only the request itself is new
        assert closing.tokens - closing.cached < 12


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(ProgramError, match="empty question"):
        sot.run("  ", backend="fake:")


def organized(organize: Any, **options: Any) -> rf.Program:
    @rf.program
    def answer(s: rf.State) -> Any:
        s += rf.system("Be brief.")
        s += rf.user("Why did towns grow?")
        s += rf.assistant(rf.gen("answer", organize=organize, **options))
        s += rf.user("Thanks.")
        s += rf.assistant(rf.gen("bye", max_tokens=4))
        return [s["answer"], s["bye"]]

    return answer


def test_organize_on_a_gen_is_the_pattern() -> None:
    backend = rf.FakeBackend(reply=reply(["Trade", "Fish"]))
    answer, _ = organized("skeleton", max_tokens=64).run(backend=backend).value
    assert answer == "1. Trade: About Trade.\n2. Fish: About Fish."
    calls = backend.calls
    assert names(calls) == ["skeleton", "text", "text", "bye"]
    assert calls[0].text.startswith("<|start|><|system|>Be brief.<|end|><|user|>Why did towns")
    assert f"<|assistant|>{answer}<|end|><|user|>Thanks." in calls[3].text


def test_max_tokens_of_an_organized_gen_are_those_of_the_whole_answer() -> None:
    def at_length(prompt: str) -> str:
        if last(prompt).startswith(ASK):
            return json.dumps({"points": [f"P{i}" for i in range(10)]})
        return "word " * 500

    backend = rf.FakeBackend(reply=at_length)
    organized("skeleton", max_tokens=64).run(backend=backend)
    written = [len(backend.tokenizer.encode(call.answer)) for call in backend.calls[1:-1]]
    assert written == [16] * 4  # no more points than the length has room for


def test_organize_none_is_the_plain_answer_and_others_are_refused() -> None:
    for way in (None, "sequential"):
        backend = rf.FakeBackend()
        organized(way, max_tokens=8).run(backend=backend)
        assert names(backend.calls) == ["answer", "bye"]
    with pytest.raises(ProgramError, match=r"'tree' is unknown.*'skeleton', 'graph', 'fork'"):
        organized("tree").run(backend="fake:")
    with pytest.raises(ProgramError, match="constraint"):
        organized("skeleton", regex="a").run(backend="fake:")


@given(st.text())
def test_any_text_can_be_read_as_a_skeleton(text: str) -> None:
    found = read_skeleton(text)
    assert bool(found.points) != bool(found.problem)
    assert len({point.title.casefold() for point in found.points}) == len(found.points)


@given(st.lists(st.from_regex(r"[A-Za-z][a-z]{1,8}( [a-z]{1,8})?", fullmatch=True), min_size=2,
                unique_by=str.casefold, max_size=9))
def test_json_and_numbered_lines_read_alike(titles: list[str]) -> None:
    written = (
        json.dumps({"points": titles}),
        json.dumps(titles),
        "\n".join(f"{i}. {title}" for i, title in enumerate(titles, 1)),
        " ".join(f"{i}. {title}" for i, title in enumerate(titles, 1)),
    )
    found = {tuple(point.title for point in read_skeleton(text).points) for text in written}
    assert found == {tuple(titles)}
