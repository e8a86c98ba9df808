"""The examples: what they ask of the backend, in which order, and what they make of the answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest

import ramify as rf
from examples.batch_classification import KINDS, classify
from examples.chat import chat
from examples.essay_judge import CRITERIA, judge
from examples.json_extraction import Item, Order, extract
from examples.rag import answer
from examples.react_agent import agent, calculate
from examples.self_consistency import vote
from examples.skeleton import essay
from examples.tips import tips
from examples.tree_of_thought import think
from ramify.backend.contract import Delta, Request, ScoreRequest, Scores
from ramify.backend.fake import Call

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(path.name for path in FOLDER.glob("*.py"))


class Preferring(rf.FakeBackend):
    """Scores one continuation above the others: `prefer` names it, given the prompt's text."""

    def __init__(self, prefer: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self.prefer = prefer

    async def score(self, request: ScoreRequest) -> Scores:
        usage = (await super().score(request)).usage
        best = self.prefer(self.tokenizer.spell(request.prompt.ids))
        logprobs = tuple(
            (-0.1 if self.tokenizer.decode(ids) == best else -5.0,) * len(ids)
            for ids in request.continuations
        )
        return Scores(logprobs, usage)


def names(calls: list[Call]) -> list[str]:
    """The nodes of calls, in the order in which they were asked."""
    return [call.label.rsplit("/", 1)[-1] for call in calls]


def side_by_side(calls: list[Call]) -> bool:
    """Whether all calls had started before the first of them was done."""
    return max(c.started for c in calls) < min(c.finished or 0 for c in calls)


def shared(calls: list[Call]) -> int:
    """Tokens that the prompts of calls begin with in common."""
    columns = zip(*(call.ids for call in calls), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def last(prompt: str) -> str:
    """The last message that is not empty."""
    return [part for part in prompt.split("<|") if part.partition("|>")[2]][-1].partition("|>")[2]


def test_there_are_many_examples_of_under_forty_lines() -> None:
    assert len(FILES) >= 10
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40, name
        assert text.startswith('"""') and 'if __name__ == "__main__":' in text, name


@pytest.mark.parametrize("name", FILES)
def test_every_example_runs_from_the_command_line(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / name), "--backend", "fake:"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and not done.stderr


def test_chat_computes_only_what_is_new() -> None:
    backend = rf.FakeBackend(reply=lambda prompt: f"About: {last(prompt)}")
    result = chat.run("Aldbridge lies on the Zorno.", ["River?", "Mayor?", "Why?"], backend=backend)
    said = [m["content"] for m in result.value if m["role"] == "assistant"]
    assert said == ["About: River?", "About: Mayor?", "About: Why?"]
    assert [m["role"] for m in result.value] == ["system", "user", *["user", "assistant"] * 3]
    calls = backend.calls
    assert len(calls) == 3
    for before, after in pairwise(calls):
        assert after.text.startswith(before.text + before.answer)
        known = before.tokens + len(backend.tokenizer.encode(before.answer))
        assert after.cached == known  # the whole conversation so far


def test_tips_are_written_side_by_side() -> None:
    said = {"1. ": "Earplugs\nand more", "2. ": "Top bunk", "tip 1": "Bring earplugs.",
            "tip 2": "Book early.", "Sum": "Plan ahead."}
    backend = rf.FakeBackend(reply=said)
    result = tips.run("sleep on a train", backend=backend)
    assert result.text == "Bring earplugs.\nBook early.\nPlan ahead."
    assert result["first"] == "Earplugs"  # stopped at the line's end
    calls = backend.calls
    assert names(calls) == ["first", "second", "paragraph", "paragraph", "summary"]
    assert side_by_side(calls[2:4])
    assert calls[3].cached == shared(calls[2:4]) > calls[1].tokens
    assert calls[4].text.index("Bring earplugs.") < calls[4].text.index("Book early.")


@pytest.mark.parametrize(("grade", "advised"), [("B", False), ("D", True)])
def test_essay_judge_joins_its_branches(grade: str, advised: bool) -> None:
    backend = Preferring(lambda prompt: grade, reply=lambda prompt: f"<{last(prompt)}>")
    report = judge.run("Harbours made towns rich.", backend=backend).value
    assert report["grade"] == grade
    for criterion in CRITERIA:
        assert report[criterion] == f"<Judge its {criterion} in one sentence.>"
    assert ("advice" in report) == advised
    calls = backend.calls
    kinds = [(call.kind, name) for call, name in zip(calls, names(calls), strict=True)]
    expected = [("generate", "verdict")] * 3 + [("score", "grade")]
    assert kinds == expected + [("generate", "advice")] * advised
    assert side_by_side(calls[:3])
    assert [call.cached for call in calls[1:3]] == [shared(calls[:3])] * 2
    assert all(report[criterion] in calls[3].text for criterion in CRITERIA)


def test_json_extraction_loops_over_typed_items() -> None:
    order = Order(customer="Ada", items=[Item(article="lamp", count=2),
                                         Item(article="candle", count=40)])
    said = {"our lamp": "A1", "our candle": "B2", "Yours": order.model_dump_json()}
    backend = rf.FakeBackend(reply=said)
    result = extract.run("Two lamps, forty candles. Yours, Ada", backend=backend)
    assert result.value == ["2 x lamp for Ada: A1", "40 x candle for Ada: B2"]
    assert result["order"] == order
    calls = backend.calls
    assert names(calls) == ["order", "shelf", "shelf"]
    assert side_by_side(calls[1:])  # the loop only asks; nothing in it waits
    assert calls[1].cached == calls[0].tokens + len(backend.tokenizer.encode(calls[0].answer))


def test_react_agent_reads_what_its_tool_says() -> None:
    backend = rf.FakeBackend(reply=["I should multiply\n", "calculate", "12 * 7 + 5",
                                    "That is it", "answer", "It is 89."])
    assert agent.run("What is 12 times 7, plus 5?", backend=backend).text == "It is 89."
    calls = backend.calls
    assert names(calls) == ["thought", "action", "sum", "thought", "action", "answer"]
    assert "<|tool|>89<|end|>" in calls[3].text and "<|tool|>" not in calls[2].text
    for before, after in pairwise(calls):
        assert after.text.startswith(before.text + before.answer)
        assert after.cached >= before.tokens
    stubborn = rf.FakeBackend(reply={"Action: ": "calculate", "Calculate: ": "1 + 1"})
    agent.run("?", steps=2, backend=stubborn)
    assert names(stubborn.calls) == ["thought", "action", "sum"] * 2 + ["answer"]


@pytest.mark.parametrize("text", ["__import__('os')", "9 ** 9 ** 9", "", "7 -"])
def test_the_calculator_reads_nothing_but_sums(text: str) -> None:
    assert calculate("2 + 3 * 4") == 14
    with pytest.raises(ValueError):
        calculate(text)


def test_tree_of_thought_keeps_the_hopeful_branches() -> None:
    steps = iter(["cold a", "warm b", "warm c", *"defg", "warm h", "i"])
    said = {"next step": "", "The answer?": "24"}
    backend = Preferring(
        lambda prompt: "yes" if "warm" in prompt.rsplit("The next step?", 1)[1] else "no",
        reply=lambda prompt: said[key] if (key := "The answer?") in prompt else next(steps),
    )
    path = think.run("Make 24.", backend=backend).text
    kinds = [call.kind for call in backend.calls]
    assert kinds == ["generate"] * 3 + ["score"] * 3 + ["generate"] * 6 + ["score"] * 6 + [
        "generate"]
    assert side_by_side(backend.calls[:3]) and side_by_side(backend.calls[6:12])
    second = [call.text for call in backend.calls[6:12]]
    assert all("warm b" in text for text in second[:3])
    assert all("warm c" in text for text in second[3:])
    assert "warm c" in path and "warm h" in path and path.rstrip().endswith("24")
    assert "lead to the answer" not in path  # the judgements were forgotten


def test_self_consistency_leaves_the_slow_ones() -> None:
    class Stuck(rf.FakeBackend):
        """Never answers the seeds 1 and 4."""

        async def generate(self, request: Request) -> AsyncIterator[Delta]:
            if request.sampling.seed in (1, 4):
                await asyncio.Event().wait()
            async for delta in super().generate(request):
                yield delta

    thoughts = iter(["13", "14", "14", "15", "14"])
    backend = Stuck(reply=lambda p: p[-11:-9] if p.endswith("\nAnswer: ") else next(thoughts))
    result = vote.run("How many legs?", backend=backend)
    assert result.text == "14"
    assert sorted(names(backend.calls)) == ["answer"] * 5 + ["thoughts"] * 5


def test_rag_answers_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "harbour.txt").write_text("The harbour was dug in 1702. Gulls like it there.")
    (tmp_path / "mill.txt").write_text("The mill burned down in 1811. It was never rebuilt.")
    notes = rf.Index.open(tmp_path, dense=False)
    backend = rf.FakeBackend(reply={"dug?": "It was dug in 1702 [1], or not [7]."})
    result = answer.run(notes, "When was the harbour dug?", backend=backend)
    assert str(result) == "It was dug in 1702 [1], or not.\n\nSources:\n[1] harbour"
    assert [passage.source for passage in result.value.sources] == ["harbour.txt"]
    assert result.value.unknown == (7,) and result["answer"].endswith("[7].")
    (call,) = backend.calls
    assert "[1] The harbour was dug in 1702." in call.text and "Gulls" not in call.text
    assert call.text.endswith("When was the harbour dug?<|end|><|assistant|>")


def test_batch_classification_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rows = [{"id": i, "text": f"Letter {i}: {KINDS[i % 3]}"} for i in range(9)]
    backend = rf.FakeBackend(reply=lambda prompt: last(prompt).split(": ")[1])
    out = tmp_path / "kinds.jsonl"
    first = classify.run_batch(rows[:6], backend=backend, out=out)
    assert [result.text for result in first] == KINDS * 2
    prefix = shared(backend.calls)
    assert len(backend.calls) == 6
    assert all(call.cached >= prefix for call in backend.calls[1:])

    rows[0]["text"] = "Letter 0: complaint"  # changed since: it is run again
    second = classify.run_batch(rows, backend=backend, out=out)
    assert sorted(second.by_row) == [0, 6, 7, 8] and len(backend.calls) == 10
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["id"]: line["value"] for line in lines} == {
        "0": "complaint", **{str(i): KINDS[i % 3] for i in range(1, 9)}
    }


@pytest.mark.parametrize("parallel", [False, True])
def test_skeleton_writes_its_points_at_once(parallel: bool) -> None:
    said = {"List": '{"points":["Trade","Fish"]}', "sentences: Trade": "They traded.",
            "sentences: Fish": "They fished.", "Close": "So it was."}
    backend = rf.FakeBackend(reply=said, parallel=parallel)
    with essay.stream("old harbours", backend=backend) as stream:
        events = [(e.scope, e.text) for e in stream if e.kind == "delta" and e.name != "outline"]
        result = stream.result()
    assert result.text == "They traded.\nThey fished.\nSo it was."
    texts = [("essay/expand[0]", "They traded."), ("essay/expand[1]", "They fished.")]
    assert [event for event in events if "[" in event[0]] == texts
    calls = backend.calls
    assert names(calls) == ["outline", "text", "text", "closing"]
    assert side_by_side(calls[1:3])
    assert calls[2].cached == shared(calls[1:3])
    start = calls[1].cached + 1  # where the branches begin: behind the outline and its end
    written = [call.tokens + len(backend.tokenizer.encode(call.answer)) for call in calls[1:3]]
    known = written[0] + (written[1] - start) * parallel
    assert calls[3].cached == known  # as text, what follows the first branch is computed again
