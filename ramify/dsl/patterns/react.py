"""ReAct (Yao et al., ICLR 2023, arXiv 2210.03629): thought, action, observation, in a loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ramify.dsl.functions import call
from ramify.dsl.operations import assistant, gen, system, tool, user
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State

FINISH = "finish"


def _described(function: Callable[..., Any]) -> str:
    doc = (inspect.getdoc(function) or "").split("\n")[0]
    return f"{function.__name__}{inspect.signature(function)}: {doc}"


@program
def react(
    s: State,
    question: str,
    tools: Sequence[Callable[[str], Any]],
    steps: int = 5,
    thought_tokens: int = 64,
    input_tokens: int = 48,
) -> Value:
    """Answer with tools: Python functions that take one text and return something printable.

    Tools are listed in the order of their names, so that the prompt's prefix stays the same.
    """
    by_name = {function.__name__: function for function in sorted(tools, key=lambda f: f.__name__)}
    listed = "\n".join(_described(function) for function in by_name.values())
    s += system(f"Answer with these tools:\n{listed}\n{FINISH}(answer): give the answer.")
    s += user(question)
    for step in range(steps):
        s += assistant(
            "Thought: ",
            gen(f"thought{step}", max_tokens=thought_tokens, stop="\n"),
            "\nAction: ",
            gen(f"action{step}", choices=[*by_name, FINISH]),
            "\nInput: ",
            gen(f"input{step}", max_tokens=input_tokens, stop="\n"),
        )
        action = str(s[f"action{step}"])
        if action == FINISH:
            return s[f"input{step}"]
        s += tool("Observation: ", call(by_name[action], s[f"input{step}"]))
    s += assistant("Answer: ", gen("answer", max_tokens=input_tokens))
    return s["answer"]
