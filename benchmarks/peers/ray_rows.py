"""The program of `ray_batch`, which writes down each row that is computed, and by which process."""

from __future__ import annotations

import os
from typing import Any

import ramify as rf

LOG = "RAMIFY_RAY_LOG"  # names the file; a line is "PROCESS QUESTION"


@rf.program
def look_up(s: rf.State, page: str, question: str) -> Any:
    """A question about a page that other rows ask about, too."""
    s += rf.system(f"Answer from page {page}. " + "The old harbour lived on trade and fish. " * 12)
    s += rf.user(question)
    s += rf.assistant(rf.gen("answer", max_tokens=8))
    return rf.call(computed, question, s["answer"])


def computed(question: str, answer: str) -> str:
    """Append the row to the log. Short appends of several processes do not mix."""
    with open(os.environ[LOG], "a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {question}\n")
    return answer
