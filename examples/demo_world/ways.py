"""Three ways to answer a case: at once, by a graph of sub-questions, with fork tokens."""

from __future__ import annotations

import math
import re

from examples.demo_world import forms
from examples.demo_world.answerer import Answerer, Chat
from examples.demo_world.cases import Case, Task
from examples.demo_world.tasks import SYSTEMS
from ramify.demo import requests
from ramify.dsl.patterns.graph_plan import GraphPlan, Part, read_plan

PLAN_TOKENS, STEP_TOKENS, DETAIL_TOKENS = 256, 40, 32  # a plan takes up to 202


def plain(answerer: Answerer, cases: list[Case]) -> list[str]:
    """Everything in one prompt and one answer, with room for the answer expected."""
    longest = max(len(answerer.tokenizer(case.answer)["input_ids"]) for case in cases)
    return answerer.ask([case.messages for case in cases], longest + 8)


def forks(answerer: Answerer, cases: list[Case]) -> list[str]:
    """Headings by the parent; behind each `<|fork|>` a child that writes the detail."""
    fork, child = answerer.token(requests.FORK), answerer.token(requests.CHILD)
    prompts = [answerer.encode(case.messages) for case in cases]
    mains = answerer.write(prompts, 96)
    where, starts = [], []
    for number, (prompt, main) in enumerate(zip(prompts, mains, strict=True)):
        for at, token in enumerate(main):
            if token == fork:
                where.append(number)
                starts.append([*prompt, *main[: at + 1], child])
    details: list[list[str]] = [[] for _ in cases]
    for number, ids in zip(where, answerer.write(starts, DETAIL_TOKENS), strict=True):
        details[number].append(answerer.decode(ids))
    return [" ".join(lines) for lines in details]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def retrieve(passages: tuple[str, ...], query: str) -> str:
    """The passage that shares the rarest words with `query`; the first of equals."""
    read = [_words(passage) for passage in passages]

    def score(words: set[str]) -> float:
        return sum(
            math.log(1 + len(read) / sum(word in other for other in read))
            for word in words & _words(query)
        )

    return max(zip(passages, map(score, read), strict=True), key=lambda pair: pair[1])[0]


def step_prompt(case: Case, part: Part, plan: GraphPlan, answers: dict[int, str]) -> Chat:
    """The prompt of one part: what it needs is known; a part that joins several answers reads no
    passage, any other one the passage that fits its question and what is known."""
    asked = {one.id: one.question for one in plan.parts}
    known = [(asked[need], answers[need]) for need in part.needs]
    chat = [{"role": "system", "content": SYSTEMS[0]}]
    if len(known) < 2:
        query = " ".join([part.question, *(said for _, said in known)])
        chat.append({"role": "user", "content": retrieve(case.passages, query)})
    request = forms.with_known(known, part.question) if known else part.question
    return [*chat, {"role": "user", "content": request}]


def graph(answerer: Answerer, cases: list[Case]) -> list[str]:
    """A plan, then its parts as soon as what they need is there; the last part has the answer."""
    chats = [
        [
            {"role": "user", "content": case.question},
            {"role": "user", "content": requests.PLAN},
        ]
        for case in cases
    ]
    plans = [read_plan(text) for text in answerer.ask(chats, PLAN_TOKENS)]
    answers: list[dict[int, str]] = [{} for _ in cases]
    while True:
        ready = [
            (at, part)
            for at, plan in enumerate(plans)
            for part in plan.parts
            if part.id not in answers[at] and all(need in answers[at] for need in part.needs)
        ]
        if not ready:
            break
        prompts = [step_prompt(cases[at], part, plans[at], answers[at]) for at, part in ready]
        for (at, part), said in zip(ready, answerer.ask(prompts, STEP_TOKENS), strict=True):
            answers[at][part.id] = said
    return [
        said[plan.parts[-1].id] if plan.parts else ""
        for plan, said in zip(plans, answers, strict=True)
    ]


WAYS = {"plain": plain, "graph": graph, "forks": forks}


def answer(answerer: Answerer, task: Task, cases: list[Case]) -> list[str]:
    """The answers to the cases of a task, in their order."""
    return WAYS[task.way](answerer, cases)
