"""Answering with tools: the model calls functions until it knows the answer.

Where a server has tool calls of its own they are used; elsewhere the model is told of the tools in
words (`ramify.ir.tools`). `react` is the same idea with thoughts, for models that were not trained
to call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ramify.dsl.functions import call, resolve
from ramify.dsl.operations import assistant, gen, system, tool, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.tools import asked, by_name
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State


@program
def use_tools(
    s: State,
    question: str,
    tools: Sequence[Callable[..., Any]],
    steps: int = 6,
    step_tokens: int = 256,
    system_text: str = "",
    model: str = "",
) -> Value:
    """Answer `question`, with up to `steps` rounds of calls; those of a round run side by side.

    A tool is a Python function, sync or async, with typed arguments and a docstring. The model is
    told of calls that make no sense and may try again; an error of a function fails the run. When
    all rounds are used up, the model has to answer with what it knows.

    Raises ProgramError for an empty question, and for functions that cannot be tools.
    """
    need_question(question, "use_tools")
    functions = by_name(tools)
    if system_text:
        s += system(system_text)
    s += user(question)
    for step in range(steps):
        name = f"step{step}"
        s += assistant(gen(name, tools=tools, max_tokens=step_tokens, model=model))
        (reply,) = resolve(s[name])
        if not reply.calls:
            said: Value = s[name].text
            return said
        for wanted in reply.calls:
            s += tool(call(asked(functions, wanted)))
    s += user("Answer now, without calling anything.")
    s += assistant(gen("answer", max_tokens=step_tokens, model=model))
    return s["answer"]
