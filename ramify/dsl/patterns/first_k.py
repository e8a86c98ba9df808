"""First k: ask many, go on with the first few to finish, cancel the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.branches import first
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value
from ramify.ir import JoinMode

if TYPE_CHECKING:
    from ramify.dsl.state import State


@program
def first_k(
    s: State,
    question: str,
    asked: int = 4,
    k: int = 2,
    temperature: float = 0.7,
    max_tokens: int = 128,
    answer_tokens: int = 128,
    join: JoinMode = "text",
    seed: int = 0,
) -> Value:
    """Sample `asked` drafts, keep the `k` that finish first, and write one answer from them.

    The slow ones are cancelled, so the latency is that of the k-th fastest. Which drafts win
    depends on time. The drafts are joined as `join` says (see State.join).
    """
    need_question(question, "first_k")
    s += user(question)
    drafts = s.fork(asked)
    for number, draft in enumerate(drafts):
        draft += assistant(
            gen("draft", temperature=temperature, max_tokens=max_tokens, seed=seed + number)
        )
    s.join(first(k, drafts), mode=join)
    s += user("Write one answer from these drafts.")
    s += assistant(gen("answer", max_tokens=answer_tokens))
    return s["answer"]
