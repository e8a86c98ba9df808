"""The programs on a backend of ours: in one go, as a skeleton, and as `auto` decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import ramify as rf
from benchmarks.harness import Contender
from benchmarks.organizing.workload import Answer
from ramify.dsl.operations import Gen
from ramify.dsl.patterns.auto import auto_answer
from ramify.dsl.patterns.skeleton_of_thought import skeleton_answer
from ramify.ir import Sampling
from ramify.router import set_default_router
from ramify.runtime.loop import run_sync


class Yes:
    """The router of the benchmark: whether an answer is split is then the cost model's choice."""

    name = "yes"

    async def suits(self, question: str) -> float:
        return 1.0


@rf.program
def sequential(s: rf.State, prompt: str, answer: Answer) -> Any:
    """The plain answer."""
    s += rf.user(prompt)
    s += rf.assistant(rf.gen("answer", max_tokens=answer.total, ignore_end=True))
    return s["answer"]


@rf.program
def skeleton(s: rf.State, prompt: str, answer: Answer) -> Any:
    """Skeleton, branches, one text."""
    s += rf.user(prompt)
    return skeleton_answer(s, answer.options())


@rf.program
def begun(s: rf.State, prompt: str, answer: Answer) -> Any:
    """The same, with the heading of each point begun for the model."""
    s += rf.user(prompt)
    return skeleton_answer(s, replace(answer.options(), begun=True))


@rf.program
def auto(s: rf.State, prompt: str, answer: Answer) -> Any:
    """The one or the other."""
    s += rf.user(prompt)
    plain = Gen("answer", Sampling(max_tokens=answer.total, ignore_end=True))
    return auto_answer(s, plain, answer.options())


class Programs:
    """Runs of the programs, each on a cold cache."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.results: dict[str, Any] = {}  # the last result of each contender
        self._salts = count()
        set_default_router(Yes())

    def contender(
        self, program: rf.Program, answer: Answer, prompt: str, *, rows: int = 1, about: str = ""
    ) -> Contender:
        """`rows` runs at once; each has a question of its own."""
        name = f"{program.name} {answer.name}{about}"

        def prepare() -> None:
            clear: Callable[[], Any] | None = getattr(self.backend, "clear_cache", None)
            if clear is not None:
                run_sync(clear())

        def run() -> None:
            policy = rf.Policy(salt=f"run {next(self._salts)}")
            if rows == 1:
                self.results[name] = program.run(
                    prompt, answer, backend=self.backend, policy=policy
                )
                return
            found = program.run_batch(
                [{"prompt": f"{prompt} {i}", "answer": answer} for i in range(rows)],
                backend=self.backend, policy=policy, explain=True,
            )  # fmt: skip
            self.results[name] = found[0]

        return Contender(name, run, prepare)

    def close(self) -> None:
        set_default_router("linear")
        run_sync(self.backend.close())
