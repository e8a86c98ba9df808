"""One small run of every pattern, on the fake backend with replies written down here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ramify as rf
from ramify.dsl.operations import Gen
from ramify.dsl.patterns.auto import auto_answer
from ramify.ir import Sampling
from ramify.router import set_default_router

patterns = rf.patterns
WORDS = "and then the ships went out again with salt and wood for the towns beyond the sea "


def words(count: int) -> str:
    """About so many tokens."""
    return (WORDS * 9)[: 4 * count]


def last(prompt: str) -> str:
    """The last message that is not empty."""
    return [part for part in prompt.split("<|") if part.partition("|>")[2]][-1].partition("|>")[2]


def saying(*pairs: tuple[str, str]) -> rf.FakeBackend:
    """Answers by the first of these words that stands in the last message."""

    def reply(prompt: str) -> str:
        request = last(prompt)
        return next((text for word, text in pairs if word in request), words(12))

    return rf.FakeBackend(reply=reply)


POINTS = json.dumps({"points": ["Trade", "Fish", "Ships", "Fires"]})
PARTS = json.dumps({"parts": [
    {"id": 1, "question": "Which town is it?", "needs": [], "difficulty": 3, "tokens": 12},
    {"id": 2, "question": "What is its age?", "needs": [1], "difficulty": 2, "tokens": 24},
    {"id": 3, "question": "What is on its coast?", "needs": [], "difficulty": 2, "tokens": 30},
    {"id": 4, "question": "Is it worth a visit?", "needs": [2, 3], "difficulty": 4, "tokens": 16},
]})  # fmt: skip


class Yes:
    """A router that agrees."""

    name = "yes"

    async def suits(self, question: str) -> float:
        return 0.9


@rf.program
def organized(s: rf.State) -> Any:
    """What `organize="auto"` makes of a long answer."""
    s += rf.user("What should one know about old harbours?")
    return auto_answer(s, Gen("answer", Sampling(max_tokens=120)))


def skeleton() -> rf.Result:
    points = [(f"{i}. ", words(size)) for i, size in ((1, 24), (2, 30), (3, 18), (4, 27))]
    backend = saying(("List 3", POINTS), *points, ("Close", words(10)))
    return patterns.skeleton_of_thought.run("About harbours?", closing="Close.", backend=backend)


def graph() -> rf.Result:
    backend = saying(("Do not answer", PARTS), ("Which", words(8)), ("age", words(20)),
                     ("coast", words(30)), ("visit", words(14)))  # fmt: skip
    return patterns.skeleton_graph.run("Is the town worth a visit?", backend=backend)


def forks() -> rf.Result:
    main = ["1. Trade:^", "\n2. Fish:^", "\nSo it was."]

    def reply(prompt: str) -> str:
        written = prompt.rpartition("<|assistant|>")[2]
        return words(24) if "~" in written else main[written.count("^")]

    marks = patterns.Forks("^", "~")
    return patterns.fork_tokens.run("Why?", forks=marks, backend=rf.FakeBackend(reply=reply))


def auto() -> rf.Result:
    set_default_router(Yes())
    try:
        return organized.run(backend=saying(("List 3", POINTS), ("Write in two", words(20))))
    finally:
        set_default_router("linear")


def vote() -> rf.Result:
    backend = rf.FakeBackend(reply=f"{words(16)}\n4")
    return patterns.self_consistency.run("2 + 2?", paths=3, seed=1, early=False, backend=backend)


def tree() -> rf.Result:
    backend = rf.FakeBackend()
    return patterns.tree_of_thought.run("Make 24.", fan_out=2, beam=1, backend=backend)


def first() -> rf.Result:
    return patterns.first_k.run("Why?", asked=2, k=2, backend=rf.FakeBackend())


def best() -> rf.Result:
    return patterns.best_of_n.run("Why?", n=3, backend=rf.FakeBackend())


def reduced() -> rf.Result:
    texts = [words(60), words(40), words(50)]
    return patterns.map_reduce.run(texts, "What is traded?", backend=rf.FakeBackend())


def debated() -> rf.Result:
    return patterns.debate.run("Why?", agents=2, backend=rf.FakeBackend())


def called() -> rf.Result:
    plans = iter([json.dumps(["Count the ships", "Count the boats"]), "[]"])
    backend = rf.FakeBackend(
        reply=lambda p: next(plans) if "Name the tasks" in last(p) else words(10)
    )
    return patterns.sub_calls.run("How many keels?", backend=backend)


def sprint() -> rf.Result:
    plans = iter([json.dumps(["Dig", "Carry"]), json.dumps(["Build"]), "[]"])
    backend = rf.FakeBackend(
        reply=lambda p: next(plans) if "Name the next" in last(p) else words(16)
    )
    return patterns.plan_execute.run("A house?", backend=backend)


RUNS: dict[str, Callable[[], rf.Result]] = {
    "skeleton_of_thought": skeleton,
    "skeleton_graph": graph,
    "fork_tokens": forks,
    "auto": auto,
    "self_consistency": vote,
    "tree_of_thought": tree,
    "first_k": first,
    "best_of_n": best,
    "map_reduce": reduced,
    "debate": debated,
    "sub_calls": called,
    "plan_execute": sprint,
}
